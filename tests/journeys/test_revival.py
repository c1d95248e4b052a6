"""Engines that come back by themselves, up to a limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelfleet import CompositeError, InvalidEngineID, MultiEngineClient
from tests.fleets import eventually

pytestmark = pytest.mark.slow

StartFleet = Callable[..., MultiEngineClient]


def die(mec: MultiEngineClient, engine: int) -> None:
    with pytest.raises(CompositeError):
        mec.execute("import os; os._exit(3)", targets=engine)
    assert engine not in mec.get_ids()


def test_an_engine_that_dies_is_started_again_under_its_id_with_its_on_start_code(
    start_fleet: StartFleet,
) -> None:
    mec = start_fleet(2, restart="on-death", on_start="ready = engine_id")
    mec.push({"x": 1})
    die(mec, 1)
    eventually(lambda: mec.get_ids() == [0, 1])
    assert mec.pull("ready") == [0, 1]
    assert mec.execute("n_engines", targets=1)[0]["number"] == 1
    assert mec.keys() == [["ready", "x"], ["ready"]]


def test_a_call_meanwhile_is_told_that_it_comes_back(start_fleet: StartFleet) -> None:
    mec = start_fleet(1, restart="on-death")
    die(mec, 0)
    with pytest.raises(InvalidEngineID, match=r"died: .*; it is being started again"):
        mec.execute("1", targets=0)
    eventually(lambda: mec.get_ids() == [0])
    assert mec._connection.roster.dead == {}


def test_a_crash_loop_ends_with_the_engine_dead_and_says_so(start_fleet: StartFleet) -> None:
    mec = start_fleet(1, restart="on-death")
    for _ in range(5):
        die(mec, 0)
        eventually(lambda: mec.get_ids() == [0])
    die(mec, 0)
    eventually(lambda: "too often" in mec._connection.roster.dead.get(0, ""))
    mec.restart(0)
    assert mec.execute("1")[0]["number"] == 1


def test_an_unknown_policy_is_refused_at_once() -> None:
    from kernelfleet import Fleet

    with pytest.raises(ValueError, match="'never' or 'on-death'"):
        Fleet(1, restart="sometimes")
