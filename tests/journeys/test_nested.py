"""Calls of a fleet made on its own engines end: maps and tasks are done, the rest is refused."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from kernelfleet import CompositeError, MultiEngineClient
from kernelfleet.errors import InterruptUnheeded, UnsupportedOperation
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet
from tests.promises import promise

#: Nothing here takes as long; what waits for ever is to fail, not to hang.
SECONDS = 30


@pytest.fixture(scope="module")
def fleet() -> Iterator[OwnFleet]:
    """Two engines for the whole module."""
    fleet = OwnFleet(n=2)
    yield fleet
    fleet.clean_up()


@pytest.fixture
def mec(fleet: OwnFleet) -> Iterator[MultiEngineClient]:
    """A client of two engines, which are free before and after."""
    mec = fleet.client()
    yield mec
    assert mec.queue_status() == [(i, {"queue": [], "pending": None}) for i in (0, 1)]


def name_of(mec: MultiEngineClient) -> str:
    """How code on an engine becomes a client of the same fleet."""
    return str(mec._connection.fleet["name"])


@promise("7: a map whose function maps over the same fleet ends, however deep")
@pytest.mark.parametrize("schedule", ["dynamic", "static"])
def test_a_map_in_a_map_ends(mec: MultiEngineClient, schedule: str) -> None:
    name = name_of(mec)

    def doubled(n: int) -> list[int]:
        with MultiEngineClient(name) as inner:
            values: list[int] = inner.map(lambda x: x * 2, range(n))
        return values

    expected = [[0, 2], [0, 2, 4], [], [0]]
    options: dict[str, Any] = {"schedule": schedule, "timeout": SECONDS}
    assert mec.map(doubled, [2, 3, 0, 1], **options) == expected
    assert mec.apply(doubled, 3, timeout=SECONDS) == [[0, 2, 4]] * 2
    mec.push_function({"doubled": doubled})
    results = mec.execute("print(doubled(2))", timeout=SECONDS)
    assert [result.stdout for result in results] == ["[0, 2]\n"] * 2

    def depth(n: int) -> int:
        if n == 0:
            return 0
        with MultiEngineClient(name) as inner:
            depths: list[int] = inner.map(depth, [n - 1, n - 1])
        return 1 + max(depths)

    assert mec.map(depth, [3, 3], timeout=SECONDS) == [3, 3]


@promise("7: a map whose function waits for an executor of the same fleet ends")
def test_an_executor_in_a_map_ends(mec: MultiEngineClient) -> None:
    name = name_of(mec)

    def total(n: int) -> int:
        with MultiEngineClient(name) as inner, inner.executor() as pool:
            tasks = [pool.submit(pow, i, 2) for i in range(n)]
        return sum(task.result() for task in tasks)

    assert mec.map(total, [3, 4, 5], timeout=SECONDS) == [5, 14, 30]
    with mec.executor() as pool:
        assert [f.result(SECONDS) for f in [pool.submit(total, 4) for _ in range(4)]] == [14] * 4

    def impatient() -> list[str]:
        with MultiEngineClient(name) as inner, inner.executor() as pool:
            errors = pool.submit(abs, -1, timeout=20).exception(), pool.submit(abs, -1).exception()
        return [type(error).__name__ for error in errors]

    both = mec.apply(impatient, timeout=SECONDS)
    assert ["UnsupportedOperation", "NoneType"] in both
    assert all(names[1] == "NoneType" for names in both)


def test_lazy_maps_errors_and_prints_in_a_map(mec: MultiEngineClient) -> None:
    name = name_of(mec)

    def lazily(n: int) -> list[int]:
        with MultiEngineClient(name) as inner:
            return [*inner.imap(abs, range(-n, 0)), *sorted(inner.imap_unordered(abs, range(n)))]

    assert mec.map(lazily, [2, 2, 1], timeout=SECONDS) == [[2, 1, 0, 1], [2, 1, 0, 1], [1, 0]]

    def failing(n: int) -> str:
        def bad(x: int) -> float:
            print("item", x)
            return 1 / x

        with MultiEngineClient(name) as inner:
            try:
                inner.map(bad, [1, 0])
            except CompositeError as error:
                return str(error).splitlines()[1]
        return "no error"

    pending = mec.map(failing, [1, 2], block=False)
    assert pending.result(SECONDS) == ["[1:map]: ZeroDivisionError: division by zero"] * 2
    shown = "".join(pending.stdout.values()) + str(pending.outputs)
    assert "item 0" in shown


def test_a_map_in_a_map_uses_engines_that_are_free(mec: MultiEngineClient) -> None:
    name = name_of(mec)

    def pids() -> set[int]:
        def slow(_: int) -> int:
            import time

            time.sleep(0.05)
            return os.getpid()

        with MultiEngineClient(name) as inner:
            return set(inner.map(slow, range(10)))

    (used,) = mec.apply(pids, targets=0, timeout=SECONDS)
    assert used == {engine.pid for engine in mec.engines()}


@promise("7: what only the very engine could do that waits for it fails at once and says why")
def test_an_engine_does_not_wait_for_itself(mec: MultiEngineClient) -> None:
    name = name_of(mec)

    def waits(how: str) -> Any:
        with MultiEngineClient(name) as inner:
            if how == "blocking":
                return inner.execute("a = 1")
            if how == "timeout":
                return inner.apply(abs, -1, timeout=20)
            pending = inner.pull("engine_id", block=False)
            return pending.r if how == "result" else pending.get_result("not yet", block=False)

    for how in ("blocking", "timeout", "result"):
        with pytest.raises(CompositeError) as caught:
            mec.map(waits, [how], targets=0, timeout=SECONDS)
        assert "would wait for that engine" in str(caught.value)
        assert isinstance(caught.value.exceptions[0], UnsupportedOperation)
    assert mec.map(waits, ["look"], targets=0, timeout=SECONDS) == ["not yet"]

    def other() -> Any:
        with MultiEngineClient(name) as inner:
            return inner.pull("engine_id", targets=1)

    assert mec.apply(other, targets=0, timeout=SECONDS) == [[1]]


def test_an_interrupt_ends_a_map_in_a_map(mec: MultiEngineClient, gate: Gate) -> None:
    name = name_of(mec)

    def held(code: str) -> Any:
        with MultiEngineClient(name) as inner:
            return inner.map("lambda code: exec(code, {})", [code] * 2)

    pending = mec.map(held, [gate.code] * 2, block=False)
    gate.entered(2)
    # The map within needs some seconds to take back what it has sent, which the call may report.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InterruptUnheeded)
        mec.interrupt()
    gate.open()
    with pytest.raises(CompositeError) as caught:
        pending.result(SECONDS)
    assert "KeyboardInterrupt" in str(caught.value)
    assert mec.apply(abs, -1, timeout=SECONDS) == [1, 1]
