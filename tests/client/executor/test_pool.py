"""pool.py: what ``multiprocessing.Pool`` does, on engines."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.mapping.map_run import MapRun
from tests.fleets import eventually
from tests.gate import Gate


def test_maps_and_calls_are_those_of_a_pool(mec: MultiEngineClient) -> None:
    with mec.pool() as pool:
        assert pool.size == 4
        assert pool.map(abs, iter([-1, -2, -3])) == [1, 2, 3]
        assert pool.starmap(pow, [(2, 3), (5, 2, 7)]) == [8, 4]
        assert list(pool.imap(abs, [-1, -2])) == [1, 2]
        assert sorted(pool.imap_unordered(abs, [-1, -2])) == [1, 2]
        assert pool.apply(divmod, (17, 5)) == (3, 2)
        assert pool.apply(dict, (), {"a": 1}) == {"a": 1}
        assert pool.map_async(abs, [-1]).get(10) == [1]
        assert pool.starmap_async(pow, [(2, 3)]).get(timeout=10) == [8]
        assert pool.apply(os.getpid) in mec.apply(os.getpid)
    assert mec.get_ids() == [0, 1, 2, 3]


def test_a_size_or_a_timeout_that_is_none_is_refused_at_once(mec: MultiEngineClient) -> None:
    with mec.pool() as pool, mec.executor() as executor:
        maps: list[Any] = [pool.map, pool.map_async, pool.imap, pool.imap_unordered, executor.map]
        for call in maps:
            for wrong in (0, -1, "1"):
                with pytest.raises((ValueError, TypeError), match="chunksize is at least 1"):
                    call(abs, [1], chunksize=wrong)
        for call in (pool.starmap, pool.starmap_async):
            with pytest.raises(ValueError, match="chunksize is at least 1"):
                call(pow, [(1, 2)], chunksize=0)
        for timeout in ("1", float("nan")):
            with pytest.raises((ValueError, TypeError), match="timeout is a number of seconds"):
                executor.map(abs, [1], timeout=timeout)  # type: ignore[arg-type]
            with pytest.raises((ValueError, TypeError), match="timeout is a number of seconds"):
                pool.apply_async(abs, (1,)).get(timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize("blocking", ["map", "apply"])
def test_ctrl_c_in_a_call_that_blocks_ends_its_work(
    mec: MultiEngineClient, gate: Gate, blocking: str
) -> None:
    def press_ctrl_c() -> None:
        gate.entered()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    finger = threading.Thread(target=press_ctrl_c)
    pool = mec.pool()
    finger.start()
    with pytest.raises(KeyboardInterrupt):
        pool.map(exec, [gate.code]) if blocking == "map" else pool.apply(exec, (gate.code,))
    finger.join()
    assert mec.execute("6 * 7", timeout=20)[0].value == 42  # the gate is still closed
    pool.terminate()
    pool.join()


@pytest.mark.parametrize("call", ["mec.map", "pool.map", "pool.apply"])
def test_ctrl_c_while_a_call_is_begun_ends_its_work(
    mec: MultiEngineClient, gate: Gate, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = MapRun.start

    def interrupted(run: MapRun, future: Any) -> None:
        start(run, future)
        gate.entered()
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(MapRun, "start", interrupted)
    with mec.pool() as pool:
        calls: dict[str, Callable[[], Any]] = {
            "mec.map": lambda: mec.map(exec, [gate.code], block=True),
            "pool.map": lambda: pool.map(exec, [gate.code]),
            "pool.apply": lambda: pool.apply(exec, (gate.code,)),
        }
        with pytest.raises(KeyboardInterrupt):
            calls[call]()
    assert mec.execute("6 * 7", timeout=20)[0].value == 42  # the gate is still closed


def test_callbacks_get_values_and_errors(mec: MultiEngineClient) -> None:
    values: list[Any] = []
    errors: list[BaseException] = []
    with mec.pool() as pool:
        good = pool.apply_async(abs, (-1,), {}, values.append, errors.append)
        bad = pool.map_async(int, ["1", "x"], None, values.append, errors.append)
        good.wait(10)
        bad.wait(10)
        assert values == [1]
        assert [type(error) for error in errors] == [ValueError]
        assert (good.successful(), bad.successful()) == (True, False)
        assert bad.ready()


def test_an_error_is_raised_as_it_was(mec: MultiEngineClient) -> None:
    with mec.pool() as pool:
        for call in (
            lambda: pool.map(int, ["1", "x"]),
            lambda: pool.starmap(int, [("x",)]),
            lambda: pool.apply(int, ("x",)),
            lambda: list(pool.imap(int, ["x"])),
        ):
            with pytest.raises(ValueError, match="invalid literal"):
                call()


def test_a_value_that_is_late_is_a_timeout(mec: MultiEngineClient) -> None:
    pool = mec.pool()
    late = pool.apply_async(time.sleep, (60,))
    with pytest.raises(multiprocessing.TimeoutError):
        late.get(0.1)
    with pytest.raises(ValueError, match="not ready"):
        late.successful()
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    mapped = pool.map_async(time.sleep, [60])
    pool.terminate()
    eventually(lambda: not any(status["pending"] for _, status in mec.queue_status()))
    for each in (late, mapped):
        with pytest.raises(BaseException):  # noqa: B017, PT011 (interrupted or cancelled)
            each.get(10)


def test_a_closed_pool_finishes_what_it_has_and_takes_no_more(mec: MultiEngineClient) -> None:
    pool = mec.pool(targets=[0, 1])
    results = [pool.apply_async(abs, (-i,)) for i in range(20)]
    pool.close()
    pool.join()
    assert [each.get(0) for each in results] == list(range(20))
    with pytest.raises(ValueError, match="the pool was closed"):
        pool.map(abs, [1])
    assert not [t for t in threading.enumerate() if t.name == "kernelfleet-executor"]


def test_calls_that_wait_when_a_pool_is_terminated_are_cancelled(
    mec: MultiEngineClient, gate: Gate
) -> None:
    pool = mec.pool()
    calls = [pool.apply_async(eval, (gate.code,)) for _ in range(20)]
    gate.entered(4)
    pool.terminate()
    pool.join()
    assert all(call.ready() for call in calls)
    with pytest.raises(CancelledError):
        calls[-1].get(10)


def test_what_cannot_be_called_is_refused_before_anything_is_sent(mec: MultiEngineClient) -> None:
    nonsense: Any = 3
    with mec.pool() as pool:
        for callbacks in ((nonsense, None), (None, nonsense)):
            with pytest.raises(TypeError, match="a callback is a function, not int"):
                pool.map_async(exec, ["done = 1"], None, *callbacks)
            with pytest.raises(TypeError, match="a callback is a function, not int"):
                pool.apply_async(exec, ("done = 1",), {}, *callbacks)
        with pytest.raises(TypeError, match="a pool calls a function, not int"):
            pool.starmap(nonsense, [(1,)])
    assert mec.keys() == [[]] * 4
