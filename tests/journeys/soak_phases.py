"""What a soak does over and over: each phase is one kind of use, ``n`` times.

A phase leaves nothing behind by itself: what it has asked for it has fetched or dropped when it
returns. It checks what it gets, so that a soak is also a test of staying right.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from kernelfleet import MultiEngineClient, this_engine
from kernelfleet.errors import CallTimeout, CompositeError
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.soak_measure import SoakedFleet

MB = 1024 * 1024
BURST = 100


class Soaked:
    """A fleet under way, its client, and a gate for engines to wait at."""

    def __init__(
        self, fleet: SoakedFleet, mec: MultiEngineClient, gate: Callable[[], Gate]
    ) -> None:
        self.fleet, self.mec, self.gate = fleet, mec, gate
        self.n_engines = len(mec)


Phase = Callable[[Soaked, int], None]


# -- code ---------------------------------------------------------------------------------------


def executes(it: Soaked, n: int) -> None:
    """One after the other: a statement, an expression, output, a display."""
    for i in range(n // 4):
        it.mec.execute(f"x = {i}")
        assert it.mec.execute("x + 1").values() == [i + 1] * it.n_engines
        assert it.mec.execute("print(x)").stdout == [f"{i}\n"] * it.n_engines
        shown = it.mec.execute("display({'text/plain': 'shown'}, raw=True)")
        assert [len(each.outputs) for each in shown] == [1] * it.n_engines


def bursts(it: Soaked, n: int) -> None:
    """Many at once, waited for by a barrier; every third result is never fetched."""
    it.mec.execute("seen = []")
    for start in range(0, n, BURST):
        count = min(BURST, n - start)
        pendings = [it.mec.execute(f"seen.append({i})", block=False) for i in range(count)]
        it.mec.barrier(timeout=60)
        for i, pending in enumerate(pendings):
            if i % 3:
                pending.result()
    it.mec.flush()
    assert it.mec.apply(_length_of_seen) == [n] * it.n_engines


def _length_of_seen() -> int:
    engine = this_engine()
    assert engine is not None
    return len(engine.namespace["seen"])


def failures(it: Soaked, n: int) -> None:
    """Cells and calls that raise, and what an error clears behind it."""
    for _ in range(n // 4):
        with pytest.raises(CompositeError):
            it.mec.execute("1/0")
        with pytest.raises(CompositeError):
            it.mec.apply(_divide, 1, 0)
        failing = it.mec.execute("print('before'); 1/0", block=False)
        behind = it.mec.execute("never = 1", block=False)
        assert isinstance(failing.exception(30), CompositeError)
        behind.wait(30)


def _divide(a: int, b: int) -> float:
    return a / b


def streams(it: Soaked, n: int) -> None:
    """Output as it comes, and late readers of it."""
    seen: list[object] = []
    for _ in range(n):
        it.mec.execute(
            "for i in range(10): print(i, flush=True)",
            on_output=lambda *output: seen.append(output),
        )
    assert len(seen) >= n * it.n_engines


# -- data ---------------------------------------------------------------------------------------


def pushes_and_pulls(it: Soaked, n: int) -> None:
    """A megabyte each way, blocking and not."""
    array = np.arange(MB // 8)
    for i in range(n // 4):
        it.mec.push({"array": array})
        (back, *_) = it.mec.pull("array")
        assert back[-1] == array[-1]
        pendings = [it.mec.push({"array": array}, block=False), it.mec.pull("array", block=False)]
        it.mec.barrier(pendings, timeout=60)
        if i % 2:
            assert pendings[1].result()[0].nbytes == MB


def scatters_and_gathers(it: Soaked, n: int) -> None:
    """A megabyte cut up and joined."""
    array = np.arange(MB // 8)
    for _ in range(n // 2):
        it.mec.scatter("part", array)
        assert len(it.mec.gather("part")) == len(array)


# -- map and tasks ------------------------------------------------------------------------------


def maps(it: Soaked, n: int) -> None:
    """Maps that end well, fail, are cancelled, and lazy ones that are left."""
    for i in range(n // 4):
        assert it.mec.map(_double, range(100))[99] == 198
        with pytest.raises(CompositeError):
            it.mec.map(_fail_at_50, range(100), schedule=("static", "dynamic")[i % 2])
        cancelled = it.mec.map(_nap, range(1000), block=False)
        cancelled.cancel()
        with contextlib.suppress(CompositeError, CancelledError):
            cancelled.result(30)
        lazy = it.mec.imap(_double, itertools.count())
        assert list(itertools.islice(lazy, 3)) == [0, 2, 4]
        lazy.close()  # type: ignore[attr-defined]


def _double(x: int) -> int:
    return 2 * x


def _fail_at_50(x: int) -> int:
    if x == 50:
        raise ValueError(x)
    return x


def _nap(x: int) -> int:
    import time

    time.sleep(0.001)
    return x


def tasks(it: Soaked, n: int) -> None:
    """An executor's tasks: good, failing, with a limit of time."""
    with it.mec.executor(timeout=60) as executor:
        good = [executor.submit(_double, i) for i in range(n)]
        bad = [executor.submit(_divide, 1, 0) for _ in range(n // 10)]
        assert [each.result(60) for each in good] == [2 * i for i in range(n)]
        assert all(isinstance(each.exception(60), ZeroDivisionError) for each in bad)


# -- waiting and looking ------------------------------------------------------------------------


def timeouts_and_interrupts(it: Soaked, n: int) -> None:
    """Calls whose time is up, whose work then ends or is interrupted."""
    for i in range(n):
        gate = it.gate()
        with pytest.raises(CallTimeout) as caught:
            it.mec.execute(gate.code, timeout=0.001)
        pending = caught.value.pending_result
        gate.entered(it.n_engines)
        assert not it.mec.peek("nothing", block=False).wait(0)
        if i % 2:
            it.mec.interrupt()
        gate.open()
        pending.wait(30)


def looks(it: Soaked, n: int) -> None:
    """Questions beside the queues, the history, properties, resets."""
    other = it.fleet.client()
    for i in range(n):
        it.mec.execute(f"value = {i}")
        assert it.mec.get_result()[0]["input"]["raw"] == f"value = {i}"
        assert it.mec.peek("value") == [i] * it.n_engines
        assert "value" in it.mec.keys()[0]
        it.mec.queue_status()
        it.mec.set_properties({"i": i})
        assert it.mec.get_properties()[0] == {"i": i}
        pending = it.mec.execute("value + 1", block=False)
        assert other.pending_result(pending.result_id).result(30).values()[0] == i + 1
        view: Any = it.mec.view(0, block=False)
        view.execute("value").add_callback(len)
        del view, pending
        if i % 10 == 9:
            it.mec.reset()
    asyncio.run(_awaited(it, n))
    other.close()
    it.fleet.clients.remove(other)


async def _awaited(it: Soaked, n: int) -> None:
    for _ in range(n):
        await it.mec.execute("0", block=False)


# -- clients ------------------------------------------------------------------------------------


def clients(it: Soaked, n: int) -> None:
    """Clients that come, work, and go with a result still pending."""
    for i in range(n):
        client = it.fleet.client()
        client.push({"mine": i})
        assert client.pull("mine")[0] == i
        client.execute("mine", block=False)
        client.close()
        it.fleet.clients.remove(client)


_CLIENT = """
import sys
from kernelfleet import MultiEngineClient
mec = MultiEngineClient(sys.argv[1])
mec.push({'data': bytes(500)})
pending = [mec.pull('data', block=False) for _ in range(20)]
print('ready', flush=True)
sys.stdin.read()
"""


def killed_clients(it: Soaked, n: int) -> None:
    """Processes with a client each, killed while results are on their way to them."""
    if it.fleet.process is None:
        return  # an embedded fleet serves its own process only
    command = [sys.executable, "-c", _CLIENT, it.fleet.name]
    for _ in range(n):
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.kill()


# -- engines come and go ------------------------------------------------------------------------


def restarts(it: Soaked, n: int) -> None:
    """All engines afresh, with work waiting."""
    for _ in range(n // it.n_engines):
        waiting = it.mec.execute("x = 1", block=False)
        it.mec.restart(timeout=60)
        waiting.wait(30)
        assert it.mec.execute("engine_id")[0]["number"] == 1


def deaths(it: Soaked, n: int) -> None:
    """kill -9 of engines, which come back by themselves (``restart='on-death'``)."""
    for i in range(n):
        engine = it.mec.engines()[i % it.n_engines]
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        eventually(lambda pid=engine.pid: _is_settled(it, pid), 60)  # type: ignore[misc]
        if len(it.mec) < it.n_engines:
            it.mec.restart(engine.id, timeout=60)


def _is_settled(it: Soaked, pid: int) -> bool:
    """Whether the engine of this process has come back, or has died too often for that."""
    if any("too often" in how for how in it.mec._connection.roster.dead.values()):
        return True
    there = it.mec.engines()
    return len(it.mec) == it.n_engines and pid not in [engine.pid for engine in there]


def scaling(it: Soaked, n: int) -> None:
    """More engines, work on them, and fewer again."""
    for _ in range(n // 2):
        ids = it.mec.scale(it.n_engines + 2, timeout=60)
        assert it.mec.execute("here = engine_id", targets=ids)[-1]["number"] >= 1
        it.mec.scale(it.n_engines, timeout=60)


#: Phases during which engines live, and how often each is done in one round.
STEADY: dict[Phase, int] = {
    clients: 15,
    killed_clients: 3,
    executes: 1000,
    bursts: 1000,
    failures: 200,
    streams: 60,
    pushes_and_pulls: 1000,
    scatters_and_gathers: 100,
    maps: 40,
    tasks: 300,
    timeouts_and_interrupts: 20,
    looks: 30,
}

#: Phases in which engines come and go.
CHANGING: dict[Phase, int] = {restarts: 20, deaths: 2, scaling: 4}
