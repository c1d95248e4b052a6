"""Engines whose user code breaks them, or says what can hardly be said: no call is left waiting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelfleet import CompositeError, MultiEngineClient
from kernelfleet.errors import EngineError, FleetError

StartFleet = Callable[..., MultiEngineClient]


@pytest.mark.parametrize("transport", ["unix"], indirect=True)
def test_text_that_is_no_unicode_is_shown_as_an_escape_and_hangs_nobody(
    mec: MultiEngineClient,
) -> None:
    with pytest.raises(CompositeError) as caught:
        mec.execute("raise ValueError('\\ud800')", targets=0, timeout=20)
    (error,) = caught.value.exceptions
    assert isinstance(error, ValueError)
    assert error.args == ("\ud800",)  # the exception itself is pickled
    printed = mec.execute("print('\\ud800')", targets=0, timeout=20)[0]
    assert printed.stdout == "\\ud800\n"
    mec.execute("globals()['\\ud800'] = 1", targets=0, timeout=20)
    assert "\\ud800" in mec.keys(targets=0, timeout=20)[0]
    with pytest.raises(FleetError, match="half a surrogate pair"):
        mec.execute("'\ud800'", timeout=20)
    assert mec.execute("1", timeout=20).values() == [1] * 4


@pytest.mark.parametrize("transport", ["unix"], indirect=True)
def test_a_display_too_deep_to_be_passed_on_is_left_out_and_hangs_nobody(
    mec: MultiEngineClient,
) -> None:
    code = (
        "deep = 1\nfor _ in range(500): deep = [deep]\n"
        "from IPython.display import display\n"
        "display({'application/json': deep}, raw=True); print('after')"
    )
    result = mec.execute(code, targets=0, timeout=4)[0]  # less than it waits for what is lost
    assert result.stdout == "after\n"
    assert mec.execute("1", timeout=20).values() == [1] * 4


def test_an_engine_that_forgot_its_key_fails_by_name_and_a_restart_heals_it(
    start_fleet: StartFleet,
) -> None:
    mec = start_fleet(2)
    with pytest.raises(CompositeError) as caught:
        mec.execute("get_ipython().kernel.session.key = b'other'", targets=0, timeout=20)
    (error,) = caught.value.exceptions
    assert isinstance(error, EngineError)
    assert "engine 0 sent a reply that cannot be used: wrong signature" in str(error)
    assert mec.execute("1", targets=1, timeout=20).values() == [1]
    mec.restart(0, timeout=30)
    assert mec.execute("1", timeout=20).values() == [1, 1]
