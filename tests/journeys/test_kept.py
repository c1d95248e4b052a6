"""What is kept of finished work goes when it should."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernelfleet import CompositeError, MultiEngineClient
from tests.fleets import eventually
from tests.journeys.leftovers import runtime_files

StartFleet = Callable[..., MultiEngineClient]


def array_of(_: int) -> Any:
    return np.zeros(10)


@pytest.mark.parametrize("transport", ["embedded"])
def test_the_values_of_a_map_go_with_it_and_wait_for_no_garbage_collection(
    mec: MultiEngineClient,
) -> None:
    gc.collect()
    gc.disable()
    try:
        values = mec.map(array_of, range(100))
        lazy = mec.imap(array_of, range(100))
        seen = [weakref.ref(values[0]), weakref.ref(next(lazy))]
        del values
        lazy.close()  # type: ignore[attr-defined]
        del lazy
        eventually(lambda: [each() for each in seen] == [None, None])
    finally:
        gc.enable()


@pytest.mark.slow
def test_an_engine_that_scale_starts_has_no_history_of_the_one_before_it(
    start_fleet: StartFleet,
) -> None:
    mec = start_fleet(2)
    mec.execute("old = 1")
    mec.set_properties({"old": True})
    mec.scale(1, timeout=60)
    mec.scale(2, timeout=60)
    assert mec.get_result(targets=0)[0]["input"]["raw"] == "old = 1"
    assert mec.get_properties() == [{"old": True}, {}]
    with pytest.raises(CompositeError) as caught:
        mec.get_result(targets=1)
    assert isinstance(caught.value.exceptions[0], IndexError)


def test_a_killed_engine_leaves_no_file_behind(start_fleet: StartFleet) -> None:
    before = runtime_files()
    mec = start_fleet(1)
    full = len(runtime_files() - before)
    (engine,) = mec.engines()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    eventually(lambda: mec.get_ids() == [])
    mec.restart(0, timeout=60)
    assert len(runtime_files() - before) == full
