"""A fleet grows and shrinks while it works: nothing is lost, nothing done twice, ids stay."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from kernelfleet import this_engine
from kernelfleet.errors import InvalidEngineID
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet
from tests.journeys.manners import IN_EVERY_MANNER

Start = Callable[..., OwnFleet]


def slowly(x: int) -> tuple[int, int]:
    time.sleep(0.005)
    engine = this_engine()
    assert engine is not None
    return x, engine.id


@IN_EVERY_MANNER
def test_work_of_all_kinds_survives_growing_and_shrinking(
    own_fleet: Start, transport: str, fork: bool
) -> None:
    fleet = own_fleet(2, transport=transport, fork=fork)
    mec, other, third = fleet.client(), fleet.client(), fleet.client()
    mec.execute("seen = []")
    mapped = mec.map(slowly, range(200), block=False, chunksize=5)
    executor = other.executor()
    futures = [executor.submit(slowly, i) for i in range(60)]
    executed = [third.execute(f"seen.append({i})", targets=1, block=False) for i in range(20)]

    assert third.scale(4, timeout=60) == [0, 1, 2, 3]
    assert third.pull(("engine_id", "n_engines"), timeout=30) == [[i, 4] for i in range(4)]
    late = [third.execute(f"{i}", targets=3, block=False) for i in range(10)]
    assert third.scale(1, timeout=60) == [0]

    # What the engines that left had been given was done first.
    for pending in (*executed, *late):
        assert pending.exception(10) is None
    assert [value for value, _ in mapped.result(60)] == list(range(200))
    assert [future.result(60)[0] for future in futures] == list(range(60))
    executor.shutdown()
    with pytest.raises(InvalidEngineID):
        third.execute("1", targets=1)
    assert third.pull("seen") == [[]]
    assert third.scale(2, timeout=60) == [0, 1]
    assert [each["number"] for each in third.execute("1")] == [2, 1]


def test_an_engine_that_is_to_leave_takes_no_more_and_its_death_is_no_loss(
    own_fleet: Start, gate: Gate
) -> None:
    fleet = own_fleet(2, transport="embedded", restart="on-death")
    mec, other = fleet.client(), fleet.client()
    running = mec.execute(gate.code, targets=1, block=False)
    gate.entered()
    shrinking = mec.scale(1, block=False)
    eventually(lambda: [engine.state for engine in other.engines()] == ["idle", "leaving"])
    assert other.get_ids() == [0]
    with pytest.raises(InvalidEngineID):
        other.execute("1", targets=1)
    assert [each["id"] for each in other.execute("1", timeout=10)] == [0]
    os.kill(other.engines()[1].pid or 0, signal.SIGKILL)
    assert shrinking.result(20) == [0]
    assert "SIGKILL" in str(running.exception(10))
    # Nobody wants it back, whatever the policy.
    assert [engine.id for engine in other.engines()] == [0]
    assert other.scale(2, timeout=60) == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["embedded", "unix", "tcp"])
def test_growing_and_shrinking_all_the_time_loses_nothing(own_fleet: Start, transport: str) -> None:
    fleet = own_fleet(3, transport=transport)
    scaler = fleet.client()
    done = threading.Event()
    failures: list[str] = []

    def map_on() -> None:
        mec = fleet.client()
        while not done.is_set():
            values = [value for value, _ in mec.map(slowly, range(100), timeout=120)]
            if values != list(range(100)):
                failures.append(f"map: {values}")

    def execute_on() -> None:
        mec, i = fleet.client(), 0
        while not done.is_set():
            i += 1
            try:
                results = mec.execute(f"print({i})", timeout=60)
            except InvalidEngineID:
                continue  # one left while the call was on its way: nothing was run anywhere
            if {result.stdout for result in results} != {f"{i}\n"}:
                failures.append(f"execute: {results!r}")

    threads = [threading.Thread(target=each) for each in (map_on, map_on, execute_on)]
    for thread in threads:
        thread.start()
    try:
        for n in (6, 3, 5, 1, 4, 2, 6, 3):
            assert scaler.scale(n, timeout=120) == list(range(n))
    finally:
        done.set()
        for thread in threads:
            thread.join(120)
    assert not failures
    assert len(fleet.client().execute("1")) == 3


@pytest.mark.parametrize("n", [2, 1, 3])
def test_an_engine_that_was_killed_a_moment_ago_does_not_count(own_fleet: Start, n: int) -> None:
    mec = own_fleet(2, transport="embedded").client()
    os.kill(mec.engines()[1].pid or 0, signal.SIGKILL)
    assert len(mec.scale(n)) == n
    assert [each.value for each in mec.execute("n_engines")] == [n] * n
