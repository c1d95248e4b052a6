"""Kernels that are not ours: ipykernel does most, bash executes and says what it cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.errors import CompositeError, StartError, UnsupportedOperation

PROMISED_SECONDS = 1.0


@pytest.fixture(scope="module")
def plain() -> Iterator[MultiEngineClient]:
    """Two engines that are ipykernel's own kernel."""
    with Fleet(n=2, kernel="python3") as mec:
        yield mec


@pytest.fixture
def mec(plain: MultiEngineClient) -> MultiEngineClient:
    plain.reset(timeout=30)
    return plain


def test_execute_prints_and_counts(mec: MultiEngineClient) -> None:
    results = mec.execute("print('out', engine_id); 1 + 1")
    assert [result["stdout"] for result in results] == ["out 0\n", "out 1\n"]
    assert results.values() == [2, 2]
    assert "Out" in repr(results)
    assert mec.execute("1", targets=1)[0]["number"] == results[1]["number"] + 1


def test_an_error_comes_as_its_own_type_with_its_traceback(mec: MultiEngineClient) -> None:
    with pytest.raises(CompositeError) as caught:
        mec.execute("def broken():\n    1/0\nbroken()")
    assert "[0:execute]: ZeroDivisionError: division by zero" in str(caught.value)
    assert "[1:execute]: ZeroDivisionError: division by zero" in str(caught.value)


def test_push_pull_and_keys(mec: MultiEngineClient) -> None:
    mec.push({"a": 1, "b": [1, "two", {"three": 3.0}]})
    assert mec.pull("b") == [[1, "two", {"three": 3.0}]] * 2
    assert mec.pull(("a", "b"), targets=0) == [[1, [1, "two", {"three": 3.0}]]]
    assert sorted(mec.keys(targets=0)[0]) == ["a", "b"]
    with pytest.raises(CompositeError) as caught:
        mec.pull("missing")
    assert all(isinstance(error, NameError) for error in caught.value.exceptions)


def test_scatter_and_gather_with_numpy(mec: MultiEngineClient) -> None:
    numpy = pytest.importorskip("numpy")
    mec.scatter("part", numpy.arange(1000.0))
    assert mec.apply(lambda: len(part)) == [500, 500]  # type: ignore[name-defined]  # noqa: F821
    assert numpy.array_equal(mec.gather("part"), numpy.arange(1000.0))


def test_apply_calls_functions_and_raises_their_errors(mec: MultiEngineClient) -> None:
    assert mec.apply(lambda x, y=0: x * y, 6, y=7) == [42, 42]
    with pytest.raises(CompositeError) as caught:
        mec.apply(lambda: dict[str, int]()["missing"])
    assert all(isinstance(error, KeyError) for error in caught.value.exceptions)


def test_map_works_as_well(mec: MultiEngineClient) -> None:
    assert list(mec.map(lambda x: x**2, range(100))) == [x**2 for x in range(100)]


def test_reset_forgets_and_keeps_the_identity(mec: MultiEngineClient) -> None:
    mec.push({"a": 1})
    mec.reset()
    assert mec.keys() == [[], []]
    assert mec.pull(("engine_id", "n_engines")) == [[0, 2], [1, 2]]
    mec.push({"b": 2})
    assert mec.pull("b") == [2, 2]


@pytest.mark.parametrize(
    "code",
    ["import time; time.sleep(60)", "while True: pass", "import asyncio; await asyncio.sleep(60)"],
)
def test_an_interrupt_is_prompt_and_never_hits_the_next(mec: MultiEngineClient, code: str) -> None:
    mec.push({"x": 5})
    for _ in range(5):
        inside, entered = threading.Event(), set[int]()

        def on_output(
            engine_id: int,
            *_: object,
            inside: threading.Event = inside,
            entered: set[int] = entered,
        ) -> None:
            entered.add(engine_id)
            if len(entered) == 2:
                inside.set()

        pending = mec.execute(f"print('in', flush=True)\n{code}", block=False, on_output=on_output)
        assert inside.wait(20)
        began = time.monotonic()
        mec.interrupt()
        with pytest.raises(CompositeError):
            pending.result(20)
        assert time.monotonic() - began < PROMISED_SECONDS
        assert mec.pull("x", timeout=20) == [5, 5]


def test_an_interrupt_right_after_the_call_is_not_lost(mec: MultiEngineClient) -> None:
    for _ in range(10):
        pending = mec.execute("import time; time.sleep(60)", block=False)
        mec.interrupt()
        with pytest.raises(CompositeError):
            pending.result(20)
        assert mec.execute("7", timeout=20).values() == [7, 7]


def test_what_only_our_kernel_can_is_refused_by_name(mec: MultiEngineClient) -> None:
    with pytest.raises(UnsupportedOperation, match=r"'python3'.*peek"):
        mec.peek("x")


def test_a_fleet_may_mix_kernels() -> None:
    with Fleet(kernel=[None, "python3"]) as mec:
        assert [engine.kernel_name for engine in mec.engines()] == ["kernelfleet", "python3"]
        mec.push({"x": 2})
        assert mec.apply(lambda: x + engine_id) == [2, 3]  # type: ignore[name-defined]  # noqa: F821
        assert mec.execute("print(n_engines)").stdout == ["2\n", "2\n"]
        assert list(mec.map(abs, range(-50, 0))) == [abs(x) for x in range(-50, 0)]
        mec.restart(1, timeout=30)
        assert mec.execute("engine_id").values() == [0, 1]


@pytest.mark.slow
def test_bash_executes_and_refuses_the_rest_by_name(bash: str) -> None:
    with Fleet(n=2, kernel=bash) as mec:
        assert mec.execute("x=5; echo $((x + 1))", timeout=20).stdout == ["6\n", "6\n"]
        assert mec.execute("echo $x", targets=1, timeout=20)[0]["stdout"] == "5\n"
        refusals: dict[str, Callable[[], object]] = {
            "push": lambda: mec.push({"x": 1}),
            "pull": lambda: mec.pull("x"),
            "apply": lambda: mec.apply(int),
            "keys": mec.keys,
            "reset": mec.reset,
            "peek": lambda: mec.peek("x"),
        }
        for verb, call in refusals.items():
            with pytest.raises(UnsupportedOperation, match=rf"'bash'.*{verb}"):
                call()
        assert mec.execute("echo fine", timeout=20).stdout == ["fine\n"] * 2


def test_bash_and_python_in_one_fleet(bash: str) -> None:
    with Fleet(kernel=[None, bash]) as mec:
        assert mec.execute("echo hello", targets=1, timeout=20).stdout == ["hello\n"]
        mec.push({"x": 1}, targets=0)
        with pytest.raises(UnsupportedOperation, match="engine 1"):
            mec.push({"x": 1})
        assert mec.pull("x", targets=0) == [1]


def test_an_unknown_kernelspec_is_told_with_the_installed_ones() -> None:
    with pytest.raises(StartError, match=r"'no-such-kernel' is installed \(found: .*python3"):
        Fleet(n=1, kernel="no-such-kernel").start()
