"""The executor as users of concurrent.futures meet it; and many calls of two clients at once."""

from __future__ import annotations

import concurrent.futures
import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

import pytest

from kernelfleet import MultiEngineClient, PendingResult
from kernelfleet.errors import EngineDied
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet

Start = Callable[..., OwnFleet]


def run(code: str) -> None:
    exec(code, {})


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill(mec: MultiEngineClient, engine_id: int) -> None:
    pid = next(engine.pid for engine in mec.engines() if engine.id == engine_id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("transport")
def test_the_death_of_an_engine_costs_no_task(own_fleet: Start, gate: Gate) -> None:
    mec = own_fleet(3).client()
    with mec.executor() as pool:
        held = [pool.submit(run, gate.code) for _ in range(3)]
        quick = [pool.submit(abs, -i) for i in range(100)]
        gate.entered(3)
        kill(mec, 1)
        eventually(lambda: mec.get_ids() == [0, 2])
        gate.open()
        assert [future.result(30) for future in held] == [None] * 3
        assert [future.result(30) for future in quick] == list(range(100))
        assert {future.engine_id for future in quick} <= {0, 2}


def test_a_deadly_task_fails_with_engine_died_and_the_executor_goes_on(own_fleet: Start) -> None:
    mec = own_fleet(3).client()
    with mec.executor() as pool:
        once = pool.submit(die, retries=0)
        error = once.exception(30)
        assert isinstance(error, EngineDied)
        assert error.signal == signal.SIGKILL
        assert len(mec.get_ids()) == 2
        assert pool.submit(abs, -1).result(30) == 1
        assert isinstance(pool.submit(die).exception(30), EngineDied)  # once more by default
        assert mec.get_ids() == []
        with pytest.raises(BrokenExecutor, match="restart"):
            pool.submit(abs, -1)
        mec.restart([0, 1, 2], timeout=30)
        assert sorted(pool.map(abs, range(-9, 0))) == list(range(1, 10))


def test_a_task_that_does_not_heed_its_interrupt_fails_and_is_left_alone(own_fleet: Start) -> None:
    mec = own_fleet(2).client()

    def stubborn(seconds: float) -> None:
        import time

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                time.sleep(0.05)
            except KeyboardInterrupt:
                continue

    with mec.executor() as pool:
        late = pool.submit(stubborn, 6.0, timeout=0.2)
        with pytest.raises(TimeoutError, match="does not respond to an interrupt"):
            late.result(30)
        others = [pool.submit(abs, -i) for i in range(20)]
        assert [future.result(2) for future in others] == list(range(20))


def test_engines_that_come_take_part_and_those_that_go_lose_nothing(
    own_fleet: Start, gate: Gate
) -> None:
    mec = own_fleet(1).client()
    with mec.executor() as pool:
        held = [pool.submit(run, gate.code) for _ in range(4)]
        gate.entered()
        mec.scale(4, timeout=60)
        gate.entered(3)
        shrinking = mec.scale(1, block=False)
        eventually(lambda: mec.get_ids() == [0])
        gate.open()
        assert [future.result(30) for future in held] == [None] * 4
        assert shrinking.result(30) == [0]
        assert pool.submit(abs, -1).result(30) == 1


def test_what_a_pool_of_processes_is_used_for_works_alike(own_fleet: Start) -> None:
    mec = own_fleet(2).client()

    def count(words: str) -> int:
        return len(words.split())

    texts = ["a b c", "d", "", "e f"] * 25
    with mec.executor() as pool:
        by_future: dict[Any, str] = {pool.submit(count, text): text for text in texts}
        for future in concurrent.futures.as_completed(by_future, timeout=30):
            assert future.result() == len(by_future[future].split())
        assert sum(pool.map(count, texts)) == 150
        lines = [pool.submit(print, i) for i in range(10)]
        assert [future.result() for future in lines] == [None] * 10
        assert [future.stdout for future in lines] == [f"{i}\n" for i in range(10)]
        mec.execute("x = 1")
        assert mec.pull("x") == [1, 1]


def test_many_threads_submit_to_one_executor(own_fleet: Start) -> None:
    mec = own_fleet(2, transport="embedded").client()
    results: dict[int, list[int]] = {}
    with mec.executor() as pool:

        def work(n: int) -> None:
            futures = [pool.submit(pow, n, i) for i in range(50)]
            results[n] = [future.result(60) for future in futures]

        workers = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
    assert results == {n: [n**i for i in range(50)] for n in range(6)}


@pytest.mark.slow
@pytest.mark.usefixtures("transport")
def test_two_clients_with_a_thousand_mixed_calls_each_get_theirs_in_order(
    own_fleet: Start,
) -> None:
    fleet = own_fleet(3)
    problems: list[BaseException] = []

    def work(mec: MultiEngineClient, me: int) -> None:
        try:
            _mixed_calls(mec, me, random.Random(me))
        except BaseException as error:
            problems.append(error)

    mec = fleet.client()
    mec.execute("order = {1: [], 2: []}")
    workers = [threading.Thread(target=work, args=(fleet.client(), me)) for me in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
    assert not problems
    for order in mec.pull("order"):
        for me in (1, 2):
            assert order[me] == sorted(order[me])
    assert sum(len(order[1]) for order in mec.pull("order")) > 300
    assert all(not status["queue"] for _, status in mec.queue_status())


def _mixed_calls(mec: MultiEngineClient, me: int, dice: random.Random) -> None:
    expected: list[tuple[PendingResult[Any], Any]] = []
    for i in range(1000):
        target = dice.randrange(3)
        targets: Any = dice.choice([target, [target], "all"])
        n = 3 if targets == "all" else 1
        kind = dice.randrange(5)
        options = {"targets": targets, "block": False}
        if kind == 0:
            code = f"order[{me}].append({i}); print({me}, {i})"
            expected.append((mec.execute(code, **options), [f"{me} {i}\n"] * n))
        elif kind == 1:
            expected.append((mec.push({f"x{me}": i}, **options), [None] * n))
        elif kind == 2:
            expected.append((mec.apply(divmod, i, me, **options), [divmod(i, me)] * n))
        elif kind == 3:
            mec.push({f"y{me}": i}, **options)
            expected.append((mec.pull(f"y{me}", **options), [i] * n))
        else:
            expected.append((mec.execute(f"'{me}-{i}'", **options), [""] * n))
    for pending, value in expected:
        got = pending.result(60)
        assert (got.stdout if hasattr(got, "stdout") else got) == value
