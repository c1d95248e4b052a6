"""Section 4: PendingResult, in the seeds' dialect and in those of futures."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from kernelfleet import CompositeError, MultiEngineClient, PendingResult, RemoteError
from tests.conformance.expect import failing
from tests.fleets import eventually
from tests.gate import Gate
from tests.promises import promise


@promise("4: get_result(default=None, block=True, timeout=None), default the first positional")
def test_get_result_gives_the_default_while_there_is_nothing(
    mec: MultiEngineClient, gate: Gate
) -> None:
    pending = mec.execute(gate.code, block=False)
    assert pending.get_result(block=False) is None
    assert pending.get_result("not yet", block=False) == "not yet"
    assert pending.get_result("not yet", False) == "not yet"
    with pytest.raises(TimeoutError):
        pending.get_result("not yet", timeout=0.01)
    with pytest.raises(TimeoutError):
        pending.get_result("not yet", True, 0.01)
    gate.open()
    value = pending.get_result()
    assert len(value) == 4
    assert pending.get_result("not yet", block=False) is value


@promise("4: r is get_result(block=True)")
def test_r_waits(mec: MultiEngineClient) -> None:
    pending = mec.pull("engine_id", block=False)
    assert isinstance(pending, PendingResult)
    assert pending.r == [0, 1, 2, 3]


@promise("4: fetching is repeatable: the same value, or the same error raised again")
def test_fetching_is_repeatable(mec: MultiEngineClient) -> None:
    good, bad = mec.execute("a=1", block=False), mec.execute("1/0", targets=0, block=False)
    assert good.r is good.r
    assert good.get_result() is good.result()
    errors = []
    fetches: list[Callable[[], Any]] = [bad.get_result, bad.result, lambda: bad.r, bad.get_result]
    for fetch in fetches:
        with failing(ZeroDivisionError, engines=[0]) as caught:
            fetch()
        errors.append(caught.value)
    assert all(error is errors[0] for error in errors)
    assert bad.exception() is errors[0]


@promise("4: the same error raised many times does not grow")
def test_an_error_raised_again_does_not_grow(mec: MultiEngineClient) -> None:
    bad = mec.execute("1/0", targets=0, block=False)

    def depth() -> int:
        with pytest.raises(CompositeError) as caught:
            bad.result()
        frames, tb = 0, caught.value.__traceback__
        while tb is not None:
            frames, tb = frames + 1, tb.tb_next
        return frames

    first = depth()
    assert [depth() for _ in range(5)] == [first] * 5


@promise("4: add_callback(f, *args, **kw) makes the result f(result, ...); chained, run once")
def test_callbacks_are_chained_and_run_once(mec: MultiEngineClient) -> None:
    calls: list[Any] = []

    def note(result: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append((threading.get_ident(), args, kwargs))
        return [*result, *args]

    pending = mec.pull("engine_id", targets=1, block=False)
    pending.add_callback(note, 2, key=3)
    pending.add_callback(note, 4)
    mec.barrier(pending)
    assert pending.done()
    assert calls == []
    assert pending.r == [1, 2, 4]
    assert pending.r == [1, 2, 4]
    me = threading.get_ident()
    assert calls == [(me, (2,), {"key": 3}), (me, (4,), {})]
    pending.add_callback(len)
    assert pending.r == 3  # type: ignore[comparison-overlap]  # callbacks change the type


@promise("4: callbacks are skipped on error, and their own error is the result's")
def test_callbacks_are_skipped_on_error(mec: MultiEngineClient) -> None:
    calls: list[Any] = []
    bad = mec.execute("1/0", targets=0, block=False)
    bad.add_callback(calls.append)
    with failing(ZeroDivisionError, engines=[0]):
        bad.result()
    assert calls == []
    good = mec.pull("engine_id", targets=0, block=False)
    good.add_callback(lambda value: value[7])
    good.add_callback(calls.append)
    for _ in range(2):
        with pytest.raises(IndexError):
            good.result()
    assert calls == []


@promise("4: result(timeout), exception, done, running, wait")
def test_it_is_a_future(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.execute(gate.code, block=False)
    gate.entered()
    assert (pending.done(), pending.running(), pending.cancelled()) == (False, True, False)
    assert pending.wait(0.01) is False
    with pytest.raises(TimeoutError, match="0 of 4 engines"):
        pending.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        pending.exception(timeout=0.01)
    gate.open()
    assert pending.wait(20) is True
    assert (pending.done(), pending.running(), pending.cancelled()) == (True, False, False)
    assert pending.exception() is None
    assert len(pending.result(timeout=0)) == 4


@promise("4: cancel() drops what waits; cancelled() tells")
def test_cancel_drops_what_waits(mec: MultiEngineClient, gate: Gate) -> None:
    running = mec.execute(f"{gate.code}\na = 1", block=False)
    gate.entered(4)
    waiting = mec.execute("b = 1", targets=[0, 1], block=False)
    called: list[Any] = []
    waiting.add_callback(called.append)
    assert waiting.cancel() is True
    assert waiting.wait(20)
    assert waiting.cancelled() is True
    assert waiting.cancel() is False
    with failing(CancelledError, engines=[0, 1]):
        waiting.result()
    assert running.cancel() is False
    gate.open()
    assert len(running.r) == 4
    assert running.cancelled() is False
    assert mec.keys() == [["a"]] * 4


@promise("4: cancel(interrupt=True) stops what runs as well")
def test_cancel_may_interrupt(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.execute(gate.code, targets=[0, 1], block=False)
    gate.entered(2)
    assert pending.cancel(interrupt=True) is True
    with failing(RemoteError, engines=[0, 1], match="^KeyboardInterrupt$"):
        pending.result(timeout=20)


@promise("4: asking for the state runs no callbacks")
def test_asking_for_the_state_runs_no_callbacks(mec: MultiEngineClient) -> None:
    calls: list[Any] = []
    pending = mec.pull("engine_id", block=False)
    pending.add_callback(calls.append)
    mec.barrier()
    assert (pending.cancelled(), pending.done(), pending.progress) == (False, True, (4, 4))
    assert "done" in repr(pending)
    assert calls == []


@promise("4: add_done_callback(f) calls f(pending) when it has ended, at once if it has")
def test_done_callbacks_are_called(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.execute(gate.code, block=False)
    called = threading.Event()
    seen: list[PendingResult[Any]] = []

    def note(given: PendingResult[Any]) -> None:
        seen.append(given)
        called.set()

    pending.add_done_callback(note)
    assert seen == []
    gate.open()
    assert called.wait(20)
    pending.add_done_callback(note)
    assert seen == [pending, pending]


@promise("4: await pr, alone and gathered, good or bad")
def test_it_can_be_awaited(mec: MultiEngineClient, gate: Gate) -> None:
    async def main() -> None:
        first = mec.execute(f"{gate.code}\nprint(1)", targets=0, block=False)
        second = mec.pull("engine_id", targets=[1, 2], block=False)

        async def wait(pending: PendingResult[Any]) -> Any:
            return await pending

        waiting = asyncio.ensure_future(wait(first))
        assert await second == [1, 2]
        assert not waiting.done()
        gate.open()
        assert (await waiting)[0].stdout == "1\n"
        assert (await asyncio.gather(wait(first), wait(second)))[1] == [1, 2]
        with failing(ZeroDivisionError, engines=[3]):
            await mec.execute("1/0", targets=3, block=False)

    asyncio.run(main())


@promise("4: cancelling a task that awaits a result leaves the work alone")
def test_cancelling_an_await_leaves_the_work_alone(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.execute(f"{gate.code}\na = 1", targets=0, block=False)

    async def main() -> None:
        async with asyncio.timeout(0.01):
            await pending

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    gate.open()
    assert pending.r[0]["id"] == 0
    assert mec.pull("a", targets=0) == [1]


@promise("4: result_id is a string; pending_result(result_id) reattaches when its client is gone")
def test_a_result_outlives_its_client(mec: MultiEngineClient, connect: Any) -> None:
    other = connect()
    pending = other.pull("engine_id", block=False)
    other.barrier(pending)
    result_id = pending.result_id
    other.close()
    del pending
    assert mec.pending_result(result_id).r == [0, 1, 2, 3]


@promise("4: an error is the same after reattaching")
def test_an_error_can_be_reattached(mec: MultiEngineClient, connect: Any) -> None:
    pending = mec.execute("1/0", targets=[1, 2], block=False)
    mec.barrier(pending)
    with failing(ZeroDivisionError, engines=[1, 2], method="execute"):
        connect().pending_result(pending.result_id).result()


@promise("4: progress is (done, total), stdout what each engine has printed so far")
def test_progress_and_output_so_far(mec: MultiEngineClient, gate: Gate) -> None:
    code = f"print('start', engine_id)\nif engine_id > 1:\n    {gate.code}\nprint('end')"
    arrived = threading.Semaphore(0)

    def count(_engine: int, _type: str, content: dict[str, Any]) -> None:
        for _ in range(content.get("text", "").count("\n")):
            arrived.release()

    pending = mec.execute(code, block=False, on_output=count)
    gate.entered(2)
    for _ in range(6):  # two lines of engines 0 and 1, one of 2 and 3
        assert arrived.acquire(timeout=20)
    mec.barrier(mec.pull("engine_id", targets=[0, 1], block=False))
    assert pending.progress == (2, 4)
    assert pending.stdout == {
        0: "start 0\nend\n", 1: "start 1\nend\n", 2: "start 2\n", 3: "start 3\n",
    }  # fmt: skip
    gate.open()
    mec.barrier(pending)
    assert pending.progress == (4, 4)
    assert pending.stdout == {i: f"start {i}\nend\n" for i in range(4)}


@promise("4: non-blocking errors surface when the result is asked for")
def test_non_blocking_errors_come_with_the_result(mec: Any) -> None:
    mec.block = False
    missing = mec.pull("nothing", targets=2)
    bad = mec.execute("1/0")
    mec.barrier()
    with failing(ZeroDivisionError, engines=[0, 1, 2, 3], method="execute"):
        bad.get_result(block=False)
    with failing(NameError, engines=[2], method="pull"):
        missing.result()


@pytest.mark.parametrize("transport", ["embedded", "unix"])
@promise("4: a result that a live client still holds is never dropped from the history")
def test_what_a_client_holds_stays_in_the_history(mec: MultiEngineClient, connect: Any) -> None:
    held = mec.pull("engine_id", targets=3, block=False)
    mec.barrier(held)
    lost = mec.pull("engine_id", targets=3, block=False)
    lost_id = lost.result_id
    mec.barrier(lost)
    del lost
    mec.get_ids()
    flood = connect()
    flood.block = False
    for _ in range(6):  # the history keeps about a thousand
        flood.barrier([flood.pull("engine_id", targets=0) for _ in range(200)])
    assert connect().pending_result(held.result_id).r == [3]
    with pytest.raises(Exception, match=lost_id):
        connect().pending_result(lost_id).result()


@promise("4: repr says the verb, the engines and whether it is done")
def test_repr_says_what_it_is(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.execute(gate.code, targets=[2, 0], block=False)
    found_by = f"result id {pending.result_id}"
    assert repr(pending) == f"<PendingResult execute on engines [2,0]: pending, {found_by}>"
    gate.open()
    mec.barrier(pending)
    assert repr(pending) == f"<PendingResult execute on engines [2,0]: done, {found_by}>"


@promise("4: running() is True once an engine has begun; a timeout <= 0 is a look, never a wait")
def test_running_is_true_once_an_engine_has_begun(mec: MultiEngineClient, gate: Gate) -> None:
    first = mec.execute(gate.code, targets=1, block=False)
    second = mec.execute("a = 1", targets=1, block=False)
    mapped = mec.map(abs, [-1], targets=1, block=False)
    gate.entered()
    assert (first.running(), second.running(), mapped.running()) == (True, False, False)
    for pending in (first, second, mapped):
        for timeout in (0, -0.5, -1):
            with pytest.raises(TimeoutError):
                pending.result(timeout)
            with pytest.raises(TimeoutError):
                pending.exception(timeout)
            assert pending.wait(timeout) is False
    with pytest.raises(ValueError, match="timeout is 0 seconds or more"):
        mec.execute("a = 2", targets=1, timeout=-1)  # nothing is under way that could be looked at
    assert second.cancel() is True
    gate.open()
    assert mapped.r == [1]
    mec.barrier(second)
    assert [each.running() for each in (first, second, mapped)] == [False] * 3


@promise("4: what has ended on one engine and waits on another has begun")
def test_what_has_ended_on_one_engine_has_begun(mec: MultiEngineClient, gate: Gate) -> None:
    held = mec.execute(gate.code, targets=0, block=False)
    both = mec.execute("a = 1", targets=[0, 1], block=False)
    mec.barrier(mec.pull("engine_id", targets=1, block=False))
    assert both.running()
    gate.open()
    mec.barrier([held, both])


@promise("4: a map that has begun is running()")
def test_a_map_that_has_begun_is_running(mec: MultiEngineClient, gate: Gate) -> None:
    mapped = mec.map("lambda code: exec(code, {})", [gate.code] * 2, targets=0, block=False)
    gate.entered()
    eventually(mapped.running)
    assert mapped.result_id is None
    gate.open()
    assert mapped.r == [None, None]
    assert not mapped.running()


@promise("4: concurrent.futures.wait and as_completed, and asyncio.wrap_future take it")
def test_it_is_a_future_of_the_standard_library(mec: MultiEngineClient, gate: Gate) -> None:
    held = mec.execute(gate.code, targets=0, block=False)
    quick = mec.pull("engine_id", targets=1, block=False)
    bad = mec.execute("1/0", targets=2, block=False)
    every: list[concurrent.futures.Future[Any]] = [held, quick, bad]
    assert all(isinstance(each, concurrent.futures.Future) for each in every)
    first = concurrent.futures.wait([every[0], bad], timeout=20, return_when="FIRST_EXCEPTION")
    assert (first.done, first.not_done) == ({bad}, {held})
    quick.result(20)
    assert concurrent.futures.wait(every, timeout=0).not_done == {held}
    ended = concurrent.futures.as_completed(every, timeout=20)
    assert {next(ended), next(ended)} == {quick, bad}
    gate.open()
    assert next(ended) is held
    mapped = mec.map(abs, [-1, -2], block=False)
    assert concurrent.futures.wait([mapped], timeout=20).done == {mapped}

    async def wrapped() -> None:
        assert await asyncio.wrap_future(mec.pull("engine_id", block=False)) == [0, 1, 2, 3]
        with failing(ZeroDivisionError, engines=[3]):
            await asyncio.wrap_future(mec.execute("1/0", targets=3, block=False))

    asyncio.run(wrapped())


@promise("4: stdout and stderr are all that was printed, also what clear_output took away")
def test_what_was_cleared_was_printed(mec: MultiEngineClient) -> None:
    code = (
        "import sys\nfrom IPython.display import clear_output\n"
        "print('before')\nprint('oh', file=sys.stderr)\nclear_output()\nprint('after')"
    )
    pending = mec.execute(code, targets=[1, 1], block=False)
    assert pending.r[0].stdout == "before\nafter\n"
    assert pending.stdout == {1: "before\nafter\n" * 2}
    assert pending.stderr == {1: "oh\n" * 2}
    mapped = mec.map("lambda i: print(i, file=sys.stderr)", [7], targets=1, block=False)
    mec.barrier(mapped)
    assert (mapped.stdout, mapped.stderr) == ({}, {1: "7\n"})


@promise("4: queue_status, engines() and reprs show the id under which running work is found")
def test_running_work_is_found_by_a_client_that_comes_later(
    mec: MultiEngineClient, connect: Any, gate: Gate
) -> None:
    running = mec.execute(gate.code, targets=[1], block=False)
    waiting = mec.execute("found = 1", targets=[1], block=False)
    gate.entered()
    later = connect()
    ((_, status),) = later.queue_status(targets=1)
    assert status["pending"].result_id == running.result_id
    assert [entry.result_id for entry in status["queue"]] == [waiting.result_id]
    assert f"<{waiting.result_id}>" in repr(status)
    engines = later.engines()
    assert [engine.result_id for engine in engines] == [None, running.result_id, None, None]
    assert running.result_id in repr(engines)
    assert engines[1].running == status["pending"]
    found = later.pending_result(waiting.result_id)
    assert repr(found) == repr(waiting)
    assert found.targets == [1]
    gate.open()
    assert found.r == waiting.r
    found = later.pending_result(running.result_id)
    assert found.r == running.r
    assert repr(found) == repr(running)
    assert [engine.running for engine in later.engines()] == [None] * 4


@promise("4: what a map runs has no id: it ends with its client")
def test_the_work_of_a_map_has_no_id(mec: Any, gate: Gate) -> None:
    body = gate.code

    def enter(_: int) -> None:
        exec(body)

    mapped = mec.map(enter, range(1), targets=[2], block=False)
    gate.entered()
    ((_, status),) = mec.queue_status(targets=2)
    assert status["pending"].startswith("map(")
    assert status["pending"].result_id is None
    assert mec.engines()[2].result_id is None
    gate.open()
    mapped.r  # noqa: B018 (waits)
