"""unheeded.py: what is said of engines that go on after an interrupt."""

from __future__ import annotations

import pytest

from kernelfleet.controller.engines.unheeded import SILENT, text


@pytest.mark.parametrize(
    ("places", "is_world", "expected"),
    [
        ({}, True, ""),
        (
            {0: "svd(a) in line 3", 2: "svd(a) in line 3", 3: ""},
            False,
            "not stopped yet: 0,2 in svd(a) in line 3; 3. Compiled code may heed no "
            "interrupt: mec.restart([0, 2, 3]) ends it",
        ),
        (
            {1: "comm.Barrier() in line 1", 2: SILENT},
            True,
            "not stopped yet: 1 in comm.Barrier() in line 1; 2 in a call that holds "
            "Python's lock. A call of MPI that waits for other ranks heeds no interrupt: let them "
            "join it, or have a new world with mec.restart('all') (%fleet restart)",
        ),
    ],
)
def test_engines_in_the_same_call_are_named_together(
    places: dict[int, str], is_world: bool, expected: str
) -> None:
    assert text(places, is_world=is_world) == expected
