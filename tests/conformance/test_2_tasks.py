"""Section 2, the executor and scale; section 4, wait and as_completed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

import pytest

from kernelfleet import (
    CallTimeout,
    CompositeError,
    FleetError,
    InvalidEngineID,
    MultiEngineClient,
    NotAPendingResult,
    RemoteError,
    SerializationError,
    as_completed,
    this_engine,
    wait,
)
from tests.fleets import N, eventually
from tests.gate import Gate
from tests.promises import promise

#: Ended by an interrupt alone.
FOREVER = "exec('import time\\nwhile True: time.sleep(0.01)', {})"


def square(x: int) -> int:
    return x * x


def where() -> int:
    engine = this_engine()
    assert engine is not None
    return engine.id


def run(code: str) -> None:
    exec(code, {})


def fail(text: str) -> None:
    raise LookupError(text)


@promise("2: executor() is a concurrent.futures.Executor: submit, map, shutdown, with")
def test_the_executor_is_one_of_the_standard_library(mec: MultiEngineClient) -> None:
    with mec.executor() as pool:
        assert isinstance(pool, Executor)
        future = pool.submit(pow, 2, exp=10)
        assert isinstance(future, Future)
        assert future.result(timeout=20) == 1024
        assert future.done()
        assert not future.cancelled()
        assert list(pool.map(square, range(20))) == [x * x for x in range(20)]
        assert list(pool.map(pow, [2, 3], [3, 2], timeout=20, chunksize=4)) == [8, 9]
        last = pool.submit(square, 3)
    assert last.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(square, 3)
    pool.shutdown()


@promise("2: as_completed and wait of the standard library work on an executor's futures")
def test_the_standard_librarys_waiting_works(mec: MultiEngineClient, gate: Gate) -> None:
    with mec.executor() as pool:
        slow: Future[Any] = pool.submit(run, gate.code)
        gate.entered()
        quick: list[Future[Any]] = [pool.submit(square, i) for i in range(20)]
        assert slow in concurrent.futures.wait([slow, *quick], timeout=0.01).not_done
        assert not concurrent.futures.wait(quick).not_done
        first = next(concurrent.futures.as_completed([slow, *quick]))
        assert first in quick
        gate.open()
        assert list(concurrent.futures.as_completed([slow])) == [slow]


@promise("2: a task's error is its future's exception, of its own type and with its traceback")
def test_an_error_is_the_futures(mec: MultiEngineClient) -> None:
    with mec.executor() as pool:
        future = pool.submit(fail, "lost")
        error = future.exception(20)
        assert isinstance(error, LookupError)
        assert "in fail" in "".join(error.__notes__)
        with pytest.raises(LookupError, match="lost"):
            future.result()
        assert isinstance(pool.submit(threading.Lock).exception(20), SerializationError)
        with pytest.raises(SerializationError):
            pool.submit(square, threading.Lock())
        with pytest.raises(TypeError, match="function"):
            pool.submit(3)  # type: ignore[arg-type]


@promise("2: a task that has not been handed out is cancelled by cancel(), or by shutdown")
def test_tasks_are_cancelled(mec: MultiEngineClient, gate: Gate) -> None:
    pool = mec.executor(targets=0)
    running = pool.submit(run, gate.code)
    gate.entered()
    waiting = [pool.submit(square, i) for i in range(20)]
    assert waiting[-1].cancel()
    assert not running.cancel()
    with pytest.raises(CancelledError):
        waiting[-1].result()
    pool.shutdown(wait=False, cancel_futures=True)
    gate.open()
    assert running.result(20) is None
    finished = [future for future in waiting if not future.cancelled()]
    assert [future.result(20) for future in finished] == [i * i for i in range(len(finished))]
    assert waiting[-2].cancelled()
    pool.shutdown()


@promise("7: a task that no engine has begun is not running() and can be cancelled")
def test_only_what_an_engine_has_begun_is_running(mec: MultiEngineClient, gate: Gate) -> None:
    mec.execute("ran = []")

    def note(i: int) -> int:
        ran.append(i)  # type: ignore[name-defined]  # noqa: F821 (the engine's)
        return i

    with mec.executor(targets=0) as pool:
        held: Future[Any] = pool.submit(run, gate.code)
        gate.entered()
        waiting: list[Future[Any]] = [pool.submit(note, i) for i in range(6)]
        eventually(lambda: bool(mec.queue_status(targets=0)[0][1]["queue"]))
        assert held.running()
        assert not held.cancel()
        assert [future.running() for future in waiting] == [False] * 6
        assert waiting[0].cancel()  # the first of them waits at the engine already
        assert waiting[3].cancel()
        assert waiting[3].cancel()
        cancelled = [waiting[0], waiting[3]]
        assert concurrent.futures.wait(waiting, 20, "FIRST_COMPLETED").done == set(cancelled)
        gate.open()
        assert held.result(20) is None
        assert [waiting[i].result(20) for i in (1, 2, 4, 5)] == [1, 2, 4, 5]
        assert [future.cancelled() for future in waiting] == [True, False, False] * 2
        assert not any(future.running() for future in [held, *waiting])
        assert not waiting[1].cancel()
    assert mec.pull("ran", targets=0) == [[1, 2, 4, 5]]


@promise("7: shutdown(cancel_futures=True) leaves what engines have begun, and nothing else")
def test_shutdown_cancels_what_no_engine_has_begun(mec: MultiEngineClient, gate: Gate) -> None:
    mec.execute("ran = []")
    pool = mec.executor(targets=0)
    held = pool.submit(run, gate.code)
    gate.entered()
    waiting = [pool.submit(eval, "ran.append(1)") for _ in range(6)]
    eventually(lambda: bool(mec.queue_status(targets=0)[0][1]["queue"]))
    pool.shutdown(wait=False, cancel_futures=True)
    assert concurrent.futures.wait(waiting, 20).not_done == set()
    assert all(future.cancelled() for future in waiting)
    assert not held.done()
    gate.open()
    assert held.result(20) is None
    pool.shutdown()
    assert mec.pull("ran", targets=0) == [[]]


@promise("7: a timeout <= 0 of an executor's future, or of its map, is a look")
def test_a_timeout_of_a_task_that_is_over_is_a_look(mec: MultiEngineClient, gate: Gate) -> None:
    with mec.executor(targets=0) as pool:
        held = pool.submit(run, gate.code)
        for timeout in (0, -0.5, -1):
            with pytest.raises(TimeoutError):
                held.result(timeout)
            with pytest.raises(TimeoutError):
                next(pool.map(square, [1], timeout=timeout))
        gate.open()
        assert held.result(20) is None


@promise("2: what a task displays is in outputs of its future, its own only")
def test_what_tasks_display_is_theirs(mec: MultiEngineClient) -> None:
    def show(i: int) -> None:
        import sys

        from IPython.display import display

        print("printed", i)
        print("warned", i, file=sys.stderr)
        display({"i": i})  # type: ignore[no-untyped-call]

    with mec.executor(targets=0) as pool:
        futures = [pool.submit(show, i) for i in range(40)]
    for i, future in enumerate(futures):
        assert future.exception(20) is None
        assert (future.stdout, future.stderr) == (f"printed {i}\n", f"warned {i}\n")
        texts = [o.get("text") or o["data"]["text/plain"] for o in future.outputs]
        assert sorted(texts) == [f"printed {i}\n", f"warned {i}\n", f"{{'i': {i}}}"]


@promise("2: executor(retries=n) tries a failing task again, by default not at all")
def test_a_failing_task_is_tried_again(mec: MultiEngineClient) -> None:
    mec.push({"tries": []})

    def third_time() -> int:
        tries.append(1)  # type: ignore[name-defined]  # noqa: F821 (the engine's)
        if len(tries) % 3:  # type: ignore[name-defined]  # noqa: F821
            raise OSError("not yet")
        return len(tries)  # type: ignore[name-defined]  # noqa: F821

    with mec.executor(targets=0) as pool:
        assert isinstance(pool.submit(third_time).exception(20), OSError)
        mec.push({"tries": []})
        assert pool.submit(third_time, retries=2).result(20) == 3
        assert pool.submit_task(third_time, retries=2).result(20) == 6
    with mec.executor(targets=0, retries=1) as pool:
        assert isinstance(pool.submit(third_time).exception(20), OSError)
        assert mec.pull("tries", targets=0) == [[1] * 8]
    with pytest.raises(ValueError, match="retries"):
        mec.executor(retries=-1)


@promise("2: a task whose timeout has passed is interrupted and fails with TimeoutError")
def test_a_task_has_a_time_limit(mec: MultiEngineClient, gate: Gate) -> None:
    busy = mec.execute(gate.code, targets=0, block=False)
    gate.entered()
    with mec.executor(targets=0, timeout=0.3) as pool:
        late = pool.submit(run, FOREVER)
        # What it waits behind somebody else's command does not count.
        assert not concurrent.futures.wait([late], timeout=0.5).done
        gate.open()
        with pytest.raises(TimeoutError, match=r"within 0.3 s"):
            late.result(20)
        assert pool.submit(square, 3).result(20) == 9
        unlimited = pool.submit(square, 3, timeout=60)
        assert unlimited.result(20) == 9
    assert len(busy.r) == 1
    with pytest.raises(ValueError, match="timeout"):
        mec.executor(timeout=0)


@promise("2: options of a task are keywords that its function does not have")
def test_a_functions_own_keywords_are_its_own(mec: MultiEngineClient) -> None:
    def takes_one(timeout: float) -> float:
        return timeout

    def takes_any(**kwargs: Any) -> dict[str, Any]:
        return kwargs

    with mec.executor() as pool:
        assert pool.submit(takes_one, timeout=7.5).result(20) == 7.5
        assert pool.submit(takes_any, retries=3, require=1).result(20) == {
            "retries": 3,
            "require": 1,
        }
        assert pool.submit_task(takes_one, (1,), timeout=20).result(20) == 1
        assert pool.submit_task(takes_any, (), {"a": 1}, retries=3).result(20) == {"a": 1}


@promise("2: require={'gpu': True} runs a task on engines with such properties")
def test_a_task_requires_properties(mec: MultiEngineClient) -> None:
    mec.set_properties({"gpu": True}, targets=[1, 2])
    mec.set_properties({"gpu": False}, targets=0)
    with mec.executor(require={"gpu": True}) as pool:
        futures = [pool.submit(where) for _ in range(20)]
        assert {future.result(20) for future in futures} <= {1, 2}
        assert pool.submit(where, require={"gpu": False}).result(20) == 0
        with pytest.raises(FleetError, match="colour"):
            pool.submit(where, require={"colour": "red"})


@promise("2: tasks that require what is busy do not keep others waiting")
def test_a_requirement_holds_up_nobody_else(mec: MultiEngineClient, gate: Gate) -> None:
    mec.set_properties({"gpu": True}, targets=1)
    with mec.executor() as pool:
        picky = [pool.submit(run, gate.code, require={"gpu": True}) for _ in range(6)]
        gate.entered()
        others = [pool.submit(square, i) for i in range(50)]
        assert [future.result(20) for future in others] == [i * i for i in range(50)]
        assert not any(future.done() for future in picky)
        gate.open()
        assert [future.result(20) for future in picky] == [None] * 6


@promise("2: interactive use of the engines goes on beside an executor")
def test_interactive_use_goes_on_beside_tasks(mec: MultiEngineClient, gate: Gate) -> None:
    with mec.executor() as pool:
        futures = [pool.submit(square, i) for i in range(200)]
        assert [each["number"] for each in mec.execute("a = engine_id")] == [1] * N
        assert mec.pull("a") == list(range(N))
        assert [future.result(20) for future in futures] == [i * i for i in range(200)]
        # A task that stands behind somebody's command goes to an engine that is free.
        busy = mec.execute(gate.code, targets=[0, 1], block=False)
        gate.entered(2)
        futures = [pool.submit(where) for _ in range(20)]
        assert {future.result(20) for future in futures} <= {2, 3}
        gate.open()
        assert len(busy.r) == 2


@promise("5: an error in an execute leaves queued executor tasks untouched")
def test_an_error_does_not_clear_tasks(mec: MultiEngineClient, gate: Gate) -> None:
    failing = mec.execute(gate.code + "\n1/0", targets=0, block=False)
    gate.entered()
    with mec.executor(targets=0) as pool:
        future = pool.submit(square, 5)
        eventually(lambda: mec.queue_status(targets=0)[0][1]["queue"] == ["task(square) x1"])
        gate.open()
        assert future.result(20) == 25
    assert isinstance(failing.exception(), CompositeError)


@promise("2: prints inside a task are kept with its future, its own only")
def test_prints_of_a_task_are_kept(mec: MultiEngineClient) -> None:
    def speak(i: int) -> int:
        import sys

        print("task", i)
        if i % 2:
            print("odd", file=sys.stderr)
        return i

    with mec.executor(targets=[0, 1]) as pool:
        futures = [pool.submit(speak, i) for i in range(40)]
        concurrent.futures.wait(futures)
    for i, future in enumerate(futures):
        assert future.stdout == f"task {i}\n"
        assert future.stderr == ("odd\n" if i % 2 else "")
        assert future.engine_id in {0, 1}


@promise("4: prints inside apply are in stdout of its PendingResult, by engine")
def test_prints_of_apply_are_kept(mec: MultiEngineClient) -> None:
    pending = mec.apply(print, "hello", targets=[2, 0], block=False)
    assert pending.r == [None, None]
    assert pending.stdout == {2: "hello\n", 0: "hello\n"}


@promise("2: a task may be an async function, and what asyncio offers awaits its future")
def test_tasks_and_asyncio(mec: MultiEngineClient) -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    async def main() -> int:
        loop = asyncio.get_running_loop()
        with mec.executor() as pool:
            assert await loop.run_in_executor(pool, square, 4) == 16
            pending: Future[Any] = pool.submit(later, 1)
            return int(await asyncio.wrap_future(pending))

    assert asyncio.run(main()) == 2


@promise("2: executor(targets=) and the client's targets say which engines are used")
def test_an_executor_has_targets(mec: MultiEngineClient) -> None:
    mec.targets = [3]
    with mec.executor() as pool:
        assert pool.submit(where).result(20) == 3
    with mec.executor(targets=slice(0, 2)) as pool:
        assert {pool.submit(where).result(20) for _ in range(10)} <= {0, 1}
    with pytest.raises(InvalidEngineID):
        mec.executor(targets=17)


@promise("1: an executor's tasks fail when its client is closed, and none hangs")
def test_closing_the_client_ends_its_executor(
    mec: MultiEngineClient, connect: Callable[[], MultiEngineClient], gate: Gate
) -> None:
    mine = connect()
    before = {thread.name for thread in threading.enumerate()}
    idle, pool = mine.executor(), mine.executor()
    futures = [pool.submit(run, gate.code) for _ in range(12)]
    gate.entered(N)
    mine.close()
    assert all(isinstance(future.exception(20), FleetError) for future in futures)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        pool.submit(square, 1)
    idle.shutdown()
    pool.shutdown()
    eventually(lambda: {thread.name for thread in threading.enumerate()} <= before)


# -- scale ------------------------------------------------------------------------------------


@pytest.fixture
def four_again(mec: MultiEngineClient) -> Iterator[None]:
    """The fleet is shared."""
    yield
    mec.view("all", block=True).scale(N, timeout=60)


@pytest.mark.usefixtures("four_again")
@promise("2: scale(n) adds engines, lowest free ids first, or ends those of the highest ids")
def test_scale_adds_and_removes(mec: MultiEngineClient, gate: Gate) -> None:
    assert mec.scale(5, timeout=60) == [0, 1, 2, 3, 4]
    assert mec.pull("n_engines") == [5] * 5
    assert mec.pull("engine_id") == [0, 1, 2, 3, 4]
    assert len(mec) == 5
    # What an engine has been given it does before it goes.
    last = mec.execute(gate.code + "\nx = 1", targets=4, block=False)
    queued = mec.execute("print(x)", targets=4, block=False)
    gate.entered()
    going = mec.scale(4, block=False)
    eventually(lambda: mec.get_ids() == [0, 1, 2, 3])
    with pytest.raises(InvalidEngineID):
        mec.execute("1", targets=4)
    assert not going.done()
    gate.open()
    assert going.result(20) == [0, 1, 2, 3]
    assert last.r[0]["number"] == 1
    assert queued.r[0]["stdout"] == "1\n"
    assert mec.pull("n_engines") == [4] * 4
    assert mec.scale(4) == [0, 1, 2, 3]


@promise("2: scale takes a number of engines that makes sense")
@pytest.mark.parametrize("n", [0, -1, True, 2.5, "3"])
def test_scale_refuses_nonsense(mec: MultiEngineClient, n: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        mec.scale(n)
    assert len(mec) == N


@pytest.mark.usefixtures("four_again")
@promise("2: wait_for_engines(n, timeout=None) returns None when at least n engines are there")
def test_wait_for_engines(mec: MultiEngineClient) -> None:
    mec.targets = 0
    assert mec.wait_for_engines(4) is None  # type: ignore[func-returns-value]
    assert mec.wait_for_engines(0, timeout=0) is None  # type: ignore[func-returns-value]
    for timeout in (0, -1, 0.05):
        with pytest.raises(CallTimeout, match="4 of 5 engines are there"):
            mec.wait_for_engines(5, timeout)
    growing = mec.scale(5, block=False)
    mec.wait_for_engines(5, timeout=60)
    assert len(mec) == 5
    assert growing.result(60) == [0, 1, 2, 3, 4]
    for wrong in (-1, True):
        with pytest.raises(ValueError, match="a number of engines"):
            mec.wait_for_engines(wrong)


# -- wait and as_completed --------------------------------------------------------------------


@promise("4: wait(prs, timeout, return_when) is that of concurrent.futures, for PendingResults")
def test_wait(mec: MultiEngineClient, gate: Gate) -> None:
    slow = mec.execute(gate.code, targets=0, block=False)
    gate.entered()
    quick = mec.execute("1", targets=1, block=False)
    done, not_done = wait([slow, quick], return_when=concurrent.futures.FIRST_COMPLETED)
    assert (done, not_done) == ([quick], [slow])
    started = time.monotonic()
    assert wait(iter([slow]), timeout=0.05).not_done == [slow]
    assert time.monotonic() - started >= 0.05
    bad = mec.execute("1/0", targets=2, block=False)
    assert wait([slow, bad], return_when="FIRST_EXCEPTION").done == [bad]
    gate.open()
    assert wait([slow, quick, bad]) == ([slow, quick, bad], [])
    assert wait([]) == ([], [])
    with pytest.raises(ValueError, match="return_when"):
        wait([quick], return_when="SOMETIMES")
    with pytest.raises(NotAPendingResult):
        wait([quick, 3])  # type: ignore[arg-type]


@promise("4: as_completed(prs) gives each result as it ends, good or bad")
def test_as_completed(mec: MultiEngineClient, gate: Gate) -> None:
    slow = mec.execute(gate.code, targets=0, block=False)
    gate.entered()
    others: list[Any] = [mec.map(square, range(3), targets=1, block=False)]
    others.append(mec.execute("1/0", targets=2, block=False))
    ended = as_completed([slow, *others, slow])
    assert {id(next(ended)), id(next(ended))} == {id(each) for each in others}
    with pytest.raises(TimeoutError, match="0 of 1"):
        next(as_completed([slow], timeout=0.01))
    gate.open()
    assert list(ended) == [slow]
    with pytest.raises(NotAPendingResult):
        next(as_completed([3]))  # type: ignore[arg-type]


@promise("6: an interrupted task fails with KeyboardInterrupt as a RemoteError")
def test_an_interrupted_task(mec: MultiEngineClient) -> None:
    with mec.executor(targets=2) as pool:
        future = pool.submit(run, FOREVER)
        eventually(lambda: mec.queue_status(targets=2)[0][1]["pending"] == "task(run) x1")
        mec.interrupt(targets=2)
        error = future.exception(20)
        assert isinstance(error, RemoteError)
        assert error.ename == "KeyboardInterrupt"
        assert pool.submit(square, 2).result(20) == 4
