from __future__ import annotations

import pytest

from kernelfleet import errors
from kernelfleet.cli.exits import complain, exit_code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.FleetExists("x"), 10),
        (errors.FleetNotFound("x"), 11),
        (errors.SeveralFleets("x"), 12),
        (errors.CallTimeout("x"), 124),
        (KeyboardInterrupt(), 130),
        (errors.ControllerUnreachable("x"), 1),
        (errors.StartError("x"), 1),
    ],
)
def test_exit_codes_tell_scripts_what_went_wrong(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code


def test_a_complaint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("one\n  and another")
    assert capsys.readouterr().err == "kernelfleet: one and another\n"
