"""Section 5: one queue per engine, what goes through it and what an error clears."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from kernelfleet import CompositeError, EngineDied, MultiEngineClient, QueueCleared, RemoteError
from tests.conformance.expect import failing
from tests.fleets import eventually
from tests.gate import Gate
from tests.promises import promise


def arrived(mec: MultiEngineClient) -> None:
    """What this client has sent so far is in the engines' queues: requests keep their order."""
    mec.get_ids()


@promise("5: one FIFO per engine")
def test_requests_run_in_the_order_they_were_made(mec: Any) -> None:
    mec.push({"seen": []})
    mec.block = False
    pending = [mec.execute(f"seen.append({i})") for i in range(30)]
    pending.append(mec.push({"pushed": 1}))
    pending.append(mec.execute("seen.append(pushed)"))
    assert mec.pull("seen").r == [[*range(30), 1]] * 4
    assert all(each.done() for each in pending)


@promise("5: what needs the engine waits behind work")
def test_everything_that_needs_the_engine_waits(mec: Any, gate: Gate) -> None:
    mec.block = False
    running = mec.execute(f"{gate.code}\nx = [1]")
    gate.entered(4)
    waiting = [
        mec.pull("x"), mec.keys(), mec.gather("x"), mec.apply(len, "a"), mec.push({"y": 1}),
        mec.scatter("z", range(4)), mec.execute("1"),
    ]  # fmt: skip
    status = mec.queue_status(block=True)
    assert [len(entry["queue"]) for _, entry in status] == [len(waiting)] * 4
    assert not any(each.done() for each in waiting)
    gate.open()
    assert waiting[0].r == [[1]] * 4
    assert running.done()
    mec.barrier(waiting)


@promise("5: queue_status, clear_queue, cancel, get_ids, engines, peek and history do not wait")
def test_what_does_not_wait_behind_work(mec: MultiEngineClient, gate: Gate) -> None:
    mec.execute("x = 1")
    running = mec.execute(gate.code, block=False)
    gate.entered(4)
    waiting = mec.execute("2", block=False)
    assert mec.queue_status(timeout=20)[0][1]["queue"] == ["execute('2')"]
    assert mec.get_ids() == [0, 1, 2, 3]
    assert {engine.state for engine in mec.engines()} == {"busy"}
    assert [engine.queue for engine in mec.engines()] == [1, 1, 1, 1]
    assert mec.peek("x", timeout=20) == [1] * 4
    assert mec.get_result(timeout=20)[0]["number"] == 1
    assert waiting.cancel() is True
    assert mec.clear_queue(timeout=20) == [None] * 4
    assert mec.interrupt(timeout=20) == [None] * 4
    with pytest.raises(CompositeError):
        running.result(timeout=20)


@promise("5: engines run at the same time")
def test_engines_run_at_the_same_time(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.execute(gate.code, block=False)
    gate.entered(4)
    gate.open()
    assert len(pending.r) == 4


@promise("5: a call ends when all engines have ended, good or bad; never fail-fast")
def test_a_call_never_fails_fast(mec: MultiEngineClient, gate: Gate) -> None:
    code = f"if engine_id == 0:\n    1/0\n{gate.code}\na = 1"
    pending = mec.execute(code, block=False)
    gate.entered(3)
    eventually(lambda: pending.progress == (1, 4))
    assert not pending.done()
    gate.open()
    with failing(ZeroDivisionError, engines=[0]) as error:
        pending.result()
    assert sorted(error.value.results) == [1, 2, 3]
    assert mec.keys() == [[], ["a"], ["a"], ["a"]]


@promise("5: an error in an execute clears what the same client had queued behind it")
def test_an_error_clears_what_was_queued_behind_it(mec: Any, gate: Gate) -> None:
    mec.block = False
    failed = mec.execute(f"{gate.code}\nif engine_id == 1:\n    1/0")
    gate.entered(4)
    behind = [mec.execute("a = 1"), mec.push({"b": 1})]
    arrived(mec)
    gate.open()
    mec.barrier()
    with failing(ZeroDivisionError, engines=[1]):
        failed.result()
    for pending, method in zip(behind, ("execute", "push"), strict=True):
        with failing(QueueCleared, engines=[1], method=method):
            pending.result()
    after = mec.execute("c = 1")
    assert len(after.r) == 4
    assert [*map(sorted, mec.keys().r)] == [
        ["a", "b", "c"], ["c"], ["a", "b", "c"], ["a", "b", "c"],
    ]  # fmt: skip


@promise("5: an interrupt clears what was queued behind it as well")
def test_an_interrupt_clears_what_was_queued_behind_it(mec: MultiEngineClient, gate: Gate) -> None:
    running = mec.execute(gate.code, targets=0, block=False)
    gate.entered()
    behind = mec.execute("a = 1", targets=0, block=False)
    mec.interrupt(targets=0)
    with failing(RemoteError, engines=[0], method="execute", match="^KeyboardInterrupt$"):
        running.result()
    with failing(QueueCleared, engines=[0]):
        behind.result()


@promise("5: other clients' requests are untouched by an error")
def test_an_error_leaves_other_clients_alone(
    mec: MultiEngineClient, connect: Any, gate: Gate
) -> None:
    failed = mec.execute(f"{gate.code}\n1/0", targets=0, block=False)
    gate.entered()
    other = connect()
    pending = other.execute("a = 1", targets=0, block=False)
    arrived(other)
    gate.open()
    assert len(pending.r) == 1
    with failing(ZeroDivisionError, engines=[0]):
        failed.result()


@promise("5: an error in data movement clears nothing")
def test_an_error_in_a_pull_clears_nothing(mec: Any, gate: Gate) -> None:
    mec.block = False
    running = mec.execute(gate.code)
    gate.entered(4)
    missing, behind = mec.pull("nothing"), mec.execute("a = 1")
    arrived(mec)
    gate.open()
    assert len(behind.r) == 4
    with failing(NameError, engines=[0, 1, 2, 3]):
        missing.result()
    mec.barrier(running)


@promise("5: later submissions are untouched by an error")
def test_later_submissions_run(mec: MultiEngineClient) -> None:
    with failing(ZeroDivisionError, engines=[0, 1, 2, 3]):
        mec.execute("1/0")
    assert len(mec.execute("a = 1")) == 4


@promise("5: clear_queue, interrupt and restart act on the engine, whoever queued")
def test_clearing_and_interrupting_others_work(
    mec: MultiEngineClient, connect: Any, gate: Gate
) -> None:
    other = connect()
    running = other.execute(gate.code, targets=0, block=False)
    gate.entered()
    waiting = other.execute("1", targets=0, block=False)
    arrived(other)
    mec.clear_queue(targets=0)
    with failing(QueueCleared, engines=[0], match="was cleared"):
        waiting.result()
    assert not running.done()
    mec.interrupt(targets=0)
    with failing(RemoteError, engines=[0], match="^KeyboardInterrupt$"):
        running.result()


@promise("5: an engine's death fails what ran and what waited there, at once")
def test_a_death_fails_what_ran_and_what_waited(mec: MultiEngineClient, gate: Gate) -> None:
    pid = mec.apply(os.getpid, targets=1)[0]
    running = mec.execute(gate.code, targets=[0, 1], block=False)
    gate.entered(2)
    waiting = mec.push({"a": 1}, targets=[0, 1], block=False)
    arrived(mec)
    started = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    gate.open()
    for pending in (running, waiting):
        with failing(EngineDied, engines=[1], match="SIGKILL") as error:
            pending.result(timeout=20)
        assert list(error.value.results) == [0]
    assert time.monotonic() - started < 5
    died = error.value.exceptions[0]
    assert isinstance(died, EngineDied)
    assert (died.engine_id, died.signal, died.exit_code) == (1, signal.SIGKILL, None)
    assert mec.get_ids() == [0, 2, 3]
