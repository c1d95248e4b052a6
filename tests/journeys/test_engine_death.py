"""An engine ends: its work fails at once with the cause, all else goes on, restart heals."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from kernelfleet import MultiEngineClient, PendingResult
from kernelfleet.errors import CompositeError, EngineDied, InvalidEngineID
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet
from tests.journeys.manners import IN_EVERY_MANNER

#: From the death of an engine to the failure of its call.
PROMISED_SECONDS = 1.0
#: From the death of an engine until nobody is offered it any more.
PROMISED_SIGHT_SECONDS = 0.2

Start = Callable[..., OwnFleet]


def pid_of(mec: MultiEngineClient, engine_id: int) -> int:
    pid = mec.engines()[engine_id].pid
    assert pid is not None
    return pid


def failure(pending_or_call: Callable[[], object]) -> tuple[CompositeError, float]:
    started = time.monotonic()
    with pytest.raises(CompositeError) as caught:
        pending_or_call()
    return caught.value, time.monotonic() - started


@pytest.mark.usefixtures("transport")
def test_an_engine_killed_at_work_fails_its_call_within_a_second_and_spares_the_others(
    own_fleet: Start, gate: Gate
) -> None:
    mec = own_fleet(3).client()
    mec.execute("before = engine_id")
    mec.push({"code": gate.code})
    pending = mec.execute("if engine_id == 1: exec(code)\nprint('fine', engine_id)", block=False)
    queued = mec.execute("print('never')", targets=1, block=False)
    gate.entered()
    os.kill(pid_of(mec, 1), signal.SIGKILL)

    error, seconds = failure(lambda: pending.result(10))
    assert seconds < PROMISED_SECONDS
    (died,) = error.exceptions
    assert isinstance(died, EngineDied)
    assert (died.engine_id, died.signal, died.exit_code) == (1, signal.SIGKILL, None)
    assert "SIGKILL" in str(died)
    assert "[1:Engine Exception]: EngineDied" in str(error)
    assert sorted(error.results) == [0, 2]
    assert [error.results[i]["stdout"] for i in (0, 2)] == ["fine 0\n", "fine 2\n"]
    error, _ = failure(lambda: queued.result(10))
    assert isinstance(error.exceptions[0], EngineDied)

    assert mec.get_ids() == [0, 2]
    with pytest.raises(InvalidEngineID, match=r"engine 1 .*SIGKILL.*restart\(1\)"):
        mec.execute("1", targets=1)
    with pytest.raises(InvalidEngineID, match="SIGKILL"):
        mec.execute("1", targets=[0, 1])
    assert mec.pull("before") == [0, 2]
    assert mec.pull("n_engines") == [2, 2]
    assert [engine.state for engine in mec.engines()] == ["idle", "dead", "idle"]


@pytest.mark.usefixtures("transport")
def test_restart_brings_a_dead_engine_back_under_its_id(own_fleet: Start) -> None:
    mec = own_fleet(2).client()
    mec.execute("x = 1")
    old_pid = pid_of(mec, 1)
    pending = mec.execute("import time; time.sleep(60)", targets=1, block=False)
    os.kill(old_pid, signal.SIGKILL)
    failure(lambda: pending.result(10))

    mec.restart(1, timeout=30)
    assert mec.get_ids() == [0, 1]
    assert pid_of(mec, 1) != old_pid
    assert mec.execute("engine_id", targets=1)[0]["number"] == 1
    assert mec.execute("x", targets=0)[0]["number"] == 2
    assert mec.pull(("engine_id", "n_engines")) == [[0, 2], [1, 2]]
    error, _ = failure(lambda: mec.pull("x", targets=1))
    assert isinstance(error.exceptions[0], NameError)


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("import os; os._exit(3)", 3, "3"),
        ("exit()", 0, "exit"),
        ("import ctypes; ctypes.string_at(0)", None, "SIGSEGV"),
        ("import os; os.abort()", None, "SIGABRT"),
        ("import os; os.closerange(3, 1000)", None, "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None, "out of memory"),
    ],
    ids=["os._exit", "exit()", "null pointer", "abort()", "its descriptors closed", "SIGKILL"],
)
def test_a_cell_that_ends_its_engine_says_how(
    own_fleet: Start, code: str, exit_code: int | None, words: str
) -> None:
    mec = own_fleet(2).client()
    error, seconds = failure(lambda: mec.execute(code, targets=1, timeout=20))
    assert seconds < 2 * PROMISED_SECONDS
    (died,) = error.exceptions
    assert isinstance(died, EngineDied)
    assert died.exit_code == exit_code
    assert words in str(died)
    assert mec.get_ids() == [0]
    with pytest.raises(InvalidEngineID, match=words):
        mec.execute("1", targets=1)
    assert mec.execute("1+1")[0].value == 2
    mec.restart(1, timeout=30)
    assert [each["number"] for each in mec.execute("7", timeout=20)] == [2, 1]


@pytest.mark.usefixtures("transport")
def test_an_idle_engine_that_dies_is_gone_before_anybody_asks(own_fleet: Start) -> None:
    mec = own_fleet(2).client()
    pid = pid_of(mec, 0)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + PROMISED_SECONDS
    while mec.get_ids() != [1]:
        assert time.monotonic() < deadline
    assert mec.execute("1")[0]["id"] == 1


def test_what_was_printed_before_the_death_is_not_lost(own_fleet: Start) -> None:
    mec = own_fleet(1).client()
    code = "import os, sys\nprint('last words'); sys.stdout.flush()\nos._exit(1)"
    seen: list[str] = []
    error, _ = failure(
        lambda: mec.execute(
            code, timeout=20, on_output=lambda _, __, content: seen.append(content.get("text", ""))
        )
    )
    assert isinstance(error.exceptions[0], EngineDied)
    assert "".join(seen) == "last words\n"


def test_a_lack_of_memory_that_python_notices_is_an_error_like_others(own_fleet: Start) -> None:
    mec = own_fleet(1).client()
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "x = bytearray(2**33)"
    )
    error, _ = failure(lambda: mec.execute(code, timeout=20))
    assert isinstance(error.exceptions[0], MemoryError)
    assert mec.execute("print('lives')", timeout=20)[0].stdout == "lives\n"


SITUATIONS = ("idle", "holding its GIL", "taking 100 MB", "giving 100 MB", "with a forked child")


def _in_situation(mec: MultiEngineClient, situation: str) -> PendingResult[Any] | None:
    """Bring engine 1 into it; returns what is asked of it, if anything."""
    pending: PendingResult[Any]
    if situation == "idle":
        return None
    if situation == "taking 100 MB":
        pending = mec.push({"x": bytearray(100_000_000)}, targets=1, block=False)
        return pending
    if situation == "giving 100 MB":
        mec.execute("import numpy; y = numpy.zeros(12_500_000)", targets=1, timeout=60)
        pending = mec.pull("y", targets=1, block=False)
        return pending
    code = "sum(range(10**11))"
    if situation == "with a forked child":
        code = "import os, time\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(1000)"
    pending = mec.execute(f"print('in', flush=True)\n{code}", targets=1, block=False)
    eventually(lambda: pending.stdout.get(1) == "in\n")
    return pending


@IN_EVERY_MANNER
def test_a_death_is_seen_in_a_fifth_of_a_second_whatever_the_engine_was_doing(
    own_fleet: Start, transport: str, fork: bool
) -> None:
    mec = own_fleet(2, transport=transport, fork=fork).client()
    mec.execute("kept = engine_id")
    seconds = []
    for situation in SITUATIONS:
        pending = _in_situation(mec, situation)
        queued = mec.execute("'never'", targets=1, block=False) if pending else None
        other = mec.execute("kept", targets=0, block=False)
        pid = pid_of(mec, 1)
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: mec.get_ids() == [0])
        seconds.append(time.monotonic() - began)
        for each in filter(None, (pending, queued)):
            error = each.exception(10)
            # A small answer may have been given before; 100 MB are taken whole or not at all.
            if situation not in ("taking 100 MB", "giving 100 MB") or each is queued:
                assert isinstance(error, CompositeError), situation
            if error is not None:
                assert "SIGKILL" in str(error), situation
        assert other.result(10)[0].value == 0
        mec.restart(1, timeout=30)
        assert mec.execute("engine_id", targets=1, timeout=20)[0]["number"] == 1
    assert mec.execute("kept", targets=0, timeout=20)[0].value == 0
    assert statistics.median(seconds) < PROMISED_SIGHT_SECONDS, seconds


def test_all_engines_dead_and_all_restarted(own_fleet: Start) -> None:
    mec = own_fleet(2).client()
    failure(lambda: mec.execute("import os; os._exit(1)", timeout=20))
    assert mec.get_ids() == []
    mec.restart([0, 1], timeout=30)
    assert [each["number"] for each in mec.execute("engine_id")] == [1, 1]
    assert mec.pull("n_engines") == [2, 2]


@pytest.mark.slow
def test_deaths_in_a_row_leave_no_stray_reply(own_fleet: Start) -> None:
    """Frames for a dead kernel are delivered to its successor on the same endpoint (pyzmq 27)."""
    mec = own_fleet(1, transport="unix").client()
    for round_ in range(8):
        pendings = [mec.execute(f"print({round_}, {i})", block=False) for i in range(5)]
        pendings.append(mec.execute("import os, signal; os.kill(os.getpid(), 9)", block=False))
        pendings += [mec.execute("print('stray')", block=False) for _ in range(5)]
        for i, pending in enumerate(pendings[:5]):
            assert pending.result(20)[0]["stdout"] == f"{round_} {i}\n"
        for pending in pendings[5:]:
            error, _ = failure(partial(pending.result, 20))
            assert isinstance(error.exceptions[0], EngineDied)
        mec.restart(0, timeout=30)
        assert mec.execute("'fresh'")[0]["number"] == 1
