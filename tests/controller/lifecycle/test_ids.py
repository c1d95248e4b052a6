"""ids.py: new engines get the lowest ids that are free."""

from __future__ import annotations

from kernelfleet.controller.lifecycle.ids import free_ids


def test_ids_are_the_lowest_that_are_free() -> None:
    assert free_ids({0, 2}, 3) == [1, 3, 4]
    assert free_ids((), 2) == [0, 1]
    assert free_ids((), 0) == []
