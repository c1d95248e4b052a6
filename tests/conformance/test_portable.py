"""The rows that make sense on a fleet of plain ``python3`` kernels, which hear standard messages.

They hold the same promises by other means (``execute_request``); what such a kernel cannot do is
an ``UnsupportedOperation``, raised directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernelfleet import (
    CompositeError,
    Fleet,
    InvalidEngineID,
    MultiEngineClient,
    QueueCleared,
    UnsupportedOperation,
    this_engine,
)
from kernelfleet.errors.text import without_colours
from tests.conformance.expect import failing
from tests.fleets import eventually
from tests.gate import Gate


@pytest.fixture(scope="module")
def plain() -> Iterator[MultiEngineClient]:
    with Fleet(n=2, kernel="python3") as mec:
        yield mec


@pytest.fixture
def mec(plain: MultiEngineClient) -> MultiEngineClient:
    plain.reset(timeout=30)
    return plain.view("all")


def square(x: int) -> int:
    return x * x


def where(*_: object) -> int:
    engine = this_engine()
    assert engine is not None
    return engine.id


def test_execute_numbers_prints_values_and_errors(mec: MultiEngineClient) -> None:
    first = mec.execute("print('on', engine_id)\nengine_id")
    assert [each["stdout"] for each in first] == ["on 0\n", "on 1\n"]
    assert [each["number"] for each in first] == [first[0]["number"]] * 2
    assert first.values() == [0, 1]
    with failing(ZeroDivisionError, engines=[0], method="execute", match="division"):
        mec.execute("1/engine_id")
    with failing(NameError, engines=[0, 1], method="execute", match="name 'x' is not defined"):
        mec.execute("x")
    with failing(KeyError, engines=[1], match="^'k'$"):
        mec.execute("{}['k']", targets=1)
    assert mec.execute("import sys; print(1, file=sys.stderr)", targets=1)[0]["stderr"] == "1\n"
    assert mec.execute("import asyncio; await asyncio.sleep(0)", targets=0)


@pytest.mark.parametrize(
    "value", [1, "é", b"bytes", {1, 2}, None, [1, [2]], {"k": (1,)}, 2.5], ids=repr
)
def test_values_keep_their_type(mec: MultiEngineClient, value: Any) -> None:
    assert mec.push({"a": value, "b": 1}) == [None, None]
    assert mec.pull("a") == [value, value]
    assert mec.pull(("a", "b")) == [[value, 1]] * 2
    assert mec.zip_pull(("a", "b")) == [(value, value), (1, 1)]
    assert sorted(mec.keys()[0]) == ["a", "b"]
    assert mec["b"] == [1, 1]


def test_arrays_travel_both_ways_and_are_ours_to_write_to(mec: MultiEngineClient) -> None:
    grid = np.arange(300_000.0).reshape(100, 3000)
    mec.scatter("x", grid)
    mec.execute("x += 1")
    back = mec.gather("x")
    assert np.array_equal(back, grid + 1)
    back[0] = 0
    pulled = mec.pull("x", targets=0)[0]
    pulled[:] = 0


def test_scatter_and_gather(mec: MultiEngineClient) -> None:
    mec.scatter("x", range(5))
    assert mec.pull("x") == [[0, 1, 2], [3, 4]]
    assert mec.gather("x") == [0, 1, 2, 3, 4]
    mec.scatter("y", "ab", flatten=True)
    assert mec.pull("y") == ["a", "b"]


def test_a_missing_name_fails_the_pull(mec: MultiEngineClient) -> None:
    with failing(NameError, engines=[0, 1], method="pull", match="name 'x' is not defined"):
        mec.pull("x")


def test_functions_are_pushed_applied_and_pulled(mec: MultiEngineClient) -> None:
    mec.push_function({"f": square})
    assert mec.execute("f(4)").values() == [16, 16]
    assert mec.pull_function("f")[0](5) == 25
    assert mec.apply(pow, 2, 5) == [32, 32]
    assert mec.apply(where) == [0, 1]
    with failing(KeyError, engines=[0, 1], method="apply"):
        mec.apply(dict[str, int]().__getitem__, "k")


def test_functions_see_the_engines_namespace_and_are_never_stale(mec: MultiEngineClient) -> None:
    mec.push({"offset": 10})
    assert mec.apply(lambda x: x + offset, 1) == [11, 11]  # type: ignore[name-defined]  # noqa: F821
    namespace: dict[str, Any] = {"__name__": "__main__", "mec": mec}
    exec("factor = 3\nfirst = mec.map(lambda x: x * factor, range(3))", namespace)
    exec("factor = 5\nsecond = mec.map(lambda x: x * factor, range(3))", namespace)
    assert (namespace["first"], namespace["second"]) == ([0, 3, 6], [0, 5, 10])


def test_map_and_its_kin(mec: MultiEngineClient) -> None:
    assert mec.map(square, range(50)) == [x * x for x in range(50)]
    assert mec.map(where, range(3), schedule="static") == [0, 0, 1]
    assert mec.map("lambda x: -x", [1, 2]) == [-1, -2]
    assert list(mec.imap(pow, [2, 3], [3, 2])) == [8, 9]
    assert mec.mapper(targets=1).map(where, range(3)) == [1, 1, 1]
    with pytest.raises(CompositeError) as caught:
        mec.map(lambda x: 1 // x, [1, 0], targets=0, chunksize=2)
    assert "[1:map]: ZeroDivisionError" in str(caught.value)
    assert caught.value.results == {0: 1}
    pending = mec.map(print, "ab", schedule="static", block=False)
    assert pending.r == [None, None]
    assert pending.stdout == {0: "a\n", 1: "b\n"}


def test_async_functions(mec: MultiEngineClient) -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert mec.apply(later, 1) == [2, 2]
    assert mec.map(later, [1, 2, 3]) == [2, 3, 4]


def test_the_executor(mec: MultiEngineClient) -> None:
    with mec.executor() as pool:
        futures = [pool.submit(square, i) for i in range(20)]
        assert [future.result(20) for future in futures] == [i * i for i in range(20)]
        assert isinstance(pool.submit(int, "x").exception(20), ValueError)


def test_the_queue_history_and_properties(mec: MultiEngineClient, gate: Gate) -> None:
    running = mec.execute(gate.code, targets=0, block=False)
    waiting = mec.execute("2", targets=0, block=False)
    gate.entered()
    eventually(lambda: mec.queue_status(0)[0][1]["queue"] == ["execute('2')"])
    assert mec.clear_queue() == [None, None]
    with pytest.raises(CompositeError) as caught:
        waiting.result(10)
    assert isinstance(caught.value.exceptions[0], QueueCleared)
    gate.open()
    number = running.result(20)[0]["number"]
    assert mec.get_result(number, targets=0)[0]["number"] == number
    mec.set_properties({"gpu": True}, targets=1)
    assert mec.has_properties(["gpu"]) == [[False], [True]]


def test_an_interrupt_stops_what_runs(mec: MultiEngineClient) -> None:
    pending = mec.execute("import time\nwhile True: time.sleep(0.01)", targets=1, block=False)
    eventually(lambda: mec.queue_status(1)[0][1]["pending"] is not None)
    mec.interrupt(targets=1)
    with pytest.raises(CompositeError, match="one or more"):
        pending.result(20)
    assert mec.execute("1", targets=1).values() == [1]


def test_targets_are_checked_first(mec: MultiEngineClient) -> None:
    with pytest.raises(InvalidEngineID):
        mec.execute("x = 1", targets=[0, 7])
    assert mec.keys() == [[], []]
    assert [each["id"] for each in mec.execute("1", targets=[1, 0])] == [1, 0]


def test_what_a_plain_kernel_cannot_do_is_said(mec: MultiEngineClient) -> None:
    with pytest.raises(UnsupportedOperation, match="cannot peek"):
        mec.peek("x")


def test_a_script_runs_as_python_would_run_it(mec: MultiEngineClient, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nimport beside_a_plain_script\nprint(__file__, sys.argv[1:])\n"
        "if 'fail' in sys.argv:\n    1 / 0\nexit(0)\n"
    )
    (tmp_path / "beside_a_plain_script.py").touch()
    (result,) = mec.run(script, targets=0, args=["--steps", "3"])
    assert result.stdout == f"{script} ['--steps', '3']\n"
    with failing(ZeroDivisionError, engines=[0]) as failed:
        mec.run(script, targets=0, args=["fail"])
    traceback = without_colours("\n".join(failed.value.failures[0].traceback))
    assert f"File {script}:5" in traceback
    assert "----> 5     1 / 0" in traceback
    assert mec.execute("import sys; exit is sys.exit", targets=0).values() == [False]
