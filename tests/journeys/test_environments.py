"""Fleets of other environments: what their Python and packages allow works, the rest says why."""

from __future__ import annotations

import linecache
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from kernelfleet import (
    CompositeError,
    Fleet,
    MultiEngineClient,
    RemoteError,
    UnsupportedOperation,
    __version__,
)
from kernelfleet.wire.objects import pythons
from kernelfleet.wire.objects.serialize import pack
from tests.conformance.expect import failing
from tests.journeys.environments import (
    claiming,
    hiding,
    kernelspec,
    old_cloudpickle,
    old_kernelfleet,
    other_python,
)

HERE = platform.python_version()
ELSEWHERE = "3.99.1"


#: A cell of the caller's notebook: what travels by value.
CELL = """
class MyError(Exception):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code

def square(x):
    return x * x

def fails(code=7):
    raise MyError(code)
"""


def notebook() -> dict[str, Any]:
    """The names of the cell, with its lines where tracebacks look for them."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    name = "<cell of test_environments>"
    linecache.cache[name] = (len(CELL), None, CELL.splitlines(keepends=True), name)
    exec(compile(CELL, name, "exec", dont_inherit=True), namespace)
    return namespace


MyError, square, fails = map(notebook().__getitem__, ("MyError", "square", "fails"))


# -- the same Python, other packages ------------------------------------------------------------

LACKING = {
    "no kernelfleet": (hiding("kernelfleet"),),
    "neither kernelfleet nor cloudpickle": (hiding("kernelfleet", "cloudpickle"),),
    "another kernelfleet": (old_kernelfleet(),),
}


RARER = pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=[
        "neither kernelfleet nor cloudpickle",
        "another kernelfleet",
        pytest.param("no kernelfleet", marks=RARER),
    ],
)
def bare(request: pytest.FixtureRequest) -> Iterator[MultiEngineClient]:
    """A fleet of an environment that lacks packages."""
    name = kernelspec(str(request.param).replace(" ", "-"), *LACKING[request.param])
    with Fleet(n=2, kernel=name) as mec:
        yield mec


def test_functions_work_without_kernelfleet_there(bare: MultiEngineClient) -> None:
    assert bare.apply(lambda x: x + 1, 1) == [2, 2]
    assert bare.map(square, range(20)) == [x * x for x in range(20)]
    assert bare.map("lambda x: -x", [1, 2]) == [-1, -2]
    bare.push({"offset": 10, "f": square})
    assert bare.execute("f(3)").values() == [9, 9]
    assert bare.apply(lambda: offset + engine_id) == [10, 11]  # type: ignore[name-defined]  # noqa: F821
    assert bare.pull_function("f")[1](4) == 16
    with bare.executor() as pool:
        assert [pool.submit(square, i).result(20) for i in range(5)] == [0, 1, 4, 9, 16]
    pending = bare.map(print, "ab", schedule="static", block=False)
    assert (pending.r, pending.stdout) == ([None, None], {0: "a\n", 1: "b\n"})


def test_joblib_works_without_kernelfleet_there(bare: MultiEngineClient) -> None:
    joblib = pytest.importorskip("joblib")
    import kernelfleet.joblib

    large = np.ones(300_000)
    with joblib.parallel_config(kernelfleet.joblib.NAME, fleet=bare):
        call = joblib.Parallel(n_jobs=2)
        assert call(joblib.delayed(square)(i) for i in range(50)) == [i * i for i in range(50)]
        assert call(joblib.delayed(np.sum)(large) for _ in range(4)) == [300_000] * 4


def test_values_and_errors_are_as_anywhere(bare: MultiEngineClient) -> None:
    bare.scatter("x", np.arange(100_000.0))
    assert np.array_equal(bare.gather("x"), np.arange(100_000.0))
    calls: dict[str, Callable[[], object]] = {
        "apply": lambda: bare.apply(fails, targets=0),
        "map": lambda: bare.map(fails, [7], targets=0),
    }
    for method, call in calls.items():
        with failing(MyError, engines=[0], method=method) as caught:
            call()
        assert getattr(caught.value.exceptions[0], "code", None) == 7
        assert "raise MyError(code)" in caught.value.elist[0][2]
        assert "portable.py" not in caught.value.elist[0][2]
    with failing(NameError, engines=[0, 1], method="pull", match="name 'y' is not defined"):
        bare.pull("y")


def test_an_engine_knows_its_number_there_too(bare: MultiEngineClient) -> None:
    bare.execute("%reset -f")
    assert bare.pull(("engine_id", "n_engines")) == [[0, 2], [1, 2]]
    bare.reset(timeout=30)
    assert bare.keys() == [[], []]
    assert bare.pull(("engine_id", "n_engines")) == [[0, 2], [1, 2]]


def test_the_users_own_packages_are_left_alone(bare: MultiEngineClient) -> None:
    found = bare.apply(lambda: __import__("kernelfleet").__version__)
    assert found == [__version__] * 2  # the controller's, whatever is installed there
    here = bare.apply(lambda: (__import__("sys").executable, __import__("os").getcwd()))
    assert here == [(sys.executable, os.getcwd())] * 2


# -- another Python -----------------------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=[
        "native",
        "plain",
        pytest.param("python3", marks=RARER),
        pytest.param("bare", marks=RARER),
        pytest.param("real", marks=RARER),
    ],
)
def other(request: pytest.FixtureRequest) -> Iterator[MultiEngineClient]:
    """A fleet of another Python minor version, seen from here, of kernels of every kind."""
    kernel: str | None
    patch = pytest.MonkeyPatch()
    if request.param == "native":
        patch.setattr(pythons, "VERSION", ELSEWHERE)
        kernel = None
    elif request.param == "real":
        python = other_python()
        if python is None:
            pytest.skip("no other Python with ipykernel on this machine")
        kernel = kernelspec("real", python=python)
    else:
        preludes = [claiming(ELSEWHERE)]
        if request.param == "bare":
            preludes.append(hiding("kernelfleet", "cloudpickle"))
        if request.param == "plain":  # what is there is too old for anything of ours
            preludes.append(hiding("kernelfleet") + old_cloudpickle())
        kernel = kernelspec(f"other-{request.param}", *preludes)
    with patch.context(), Fleet(n=2, kernel=kernel) as mec:
        yield mec
    patch.undo()


def refused(call: Callable[[], object]) -> str:
    """The text with which a call is refused, by an error of its own or by one for each engine."""
    with pytest.raises((UnsupportedOperation, CompositeError)) as caught:
        call()
    if isinstance(caught.value, CompositeError):
        assert [type(each) for each in caught.value.exceptions] == [UnsupportedOperation] * len(
            caught.value.exceptions
        )
    return str(caught.value)


def test_functions_by_value_are_refused_before_anything_is_sent(other: MultiEngineClient) -> None:
    calls: dict[str, Callable[[], object]] = {
        "apply": lambda: other.apply(square, 2),
        "argument": lambda: other.apply(str, square),
        "map": lambda: other.map(square, [1, 2]),
        "imap": lambda: list(other.imap(square, [1, 2])),
        "push": lambda: other.push({"f": square}),
        "push_function": lambda: other.push_function({"f": square}),
        "a class": lambda: other.push({"E": MyError}),
        "an instance": lambda: other.push({"e": MyError(3)}),
        "scatter": lambda: other.scatter("s", [square, square]),
        "code": lambda: other.push({"c": square.__code__}),
    }
    for name, call in calls.items():
        text = refused(call)
        assert "cannot go from Python" in text, name
        assert "engine 0" in text, name
        assert "same Python" in text, name
    assert other.keys() == [[], []]
    with other.executor() as pool:
        assert "cannot go from Python" in refused(lambda: pool.submit(square, 2))


def test_what_comes_back_is_refused_as_well(other: MultiEngineClient) -> None:
    other.execute("def f(): return 1\nclass C:\n  def m(self): pass\nc = C()")
    other.execute("import builtins; builtins.held = f")  # where eval looks
    for call in (
        lambda: other.pull("f"),
        lambda: other.pull_function("f", targets=1),
        lambda: other.pull("C"),
        lambda: other.pull(("engine_id", "c")),
        lambda: other.zip_pull("c"),
        lambda: other.gather("f"),
        lambda: other.apply(eval, "held"),
    ):
        text = refused(call)
        assert "cannot go from Python" in text or "cannot travel" in text
    with pytest.raises(CompositeError) as caught:
        other.execute("class Own(Exception):\n  def m(self): pass\nraise Own('x')")
    assert isinstance(caught.value.exceptions[0], RemoteError)


def test_values_references_and_source_work(other: MultiEngineClient) -> None:
    other.push({"a": [1, {"k": {2}}], "x": np.arange(10)})
    assert other.pull("a") == [[1, {"k": {2}}]] * 2
    assert other.apply(pow, 2, 5) == [32, 32]
    assert other.execute("a[0] + 1").values() == [2, 2]
    assert other.pull("engine_id") == [0, 1]
    with failing(ZeroDivisionError, engines=[0, 1], method="apply"):
        other.apply(divmod, 1, 0)


def test_maps_of_what_both_can_import_work_or_say_why_not(other: MultiEngineClient) -> None:
    if other.engines()[0].kernel_name == "other-plain":
        told = "which cannot map: maps, and functions and classes of a notebook, need modules"
        assert told in refused(lambda: other.map(abs, range(-20, 0)))
        return
    assert other.map(abs, range(-20, 0)) == [abs(x) for x in range(-20, 0)]
    assert other.map("lambda x: x + 1", [1, 2]) == [2, 3]
    other.execute("def f(): return 1")
    assert "the result: the function 'f'" in refused(lambda: other.map("lambda _: f", [1, 2]))
    with other.executor() as pool:
        assert pool.submit(pow, 2, 3).result(20) == 8


def test_engines_say_which_python_they_run(other: MultiEngineClient) -> None:
    for engine in other.engines():
        assert engine.python is not None
        assert engine.executable
        if engine.kernel_name == "kernelfleet":
            assert (engine.python, engine.executable) == (HERE, sys.executable)
        elif engine.kernel_name != "real":
            assert (engine.python, engine.executable) == (ELSEWHERE, sys.executable)
        else:
            assert pythons.differs(engine.python)


def test_code_that_gets_through_all_the_same_is_refused_where_it_arrives(
    other: MultiEngineClient,
) -> None:
    """As when an engine came after the look: never SIGSEGV."""
    frames = pack((square, (2,), {}))
    header = {"operation": "apply", "payloads": [len(frames)]}
    decode = {"kind": "apply", "method": "apply"}
    text = refused(
        lambda: other._run(header, frames, decode, targets=[0, 1], blocks=True, timeout=20)
    )
    assert "cannot run here" in text or "need modules of kernelfleet" in text
    assert other.get_ids() == [0, 1]


@pytest.mark.slow
def test_a_fleet_started_by_another_python_serves_this_one() -> None:
    python = other_python()
    if (
        python is None
        or subprocess.run([python, "-c", "import kernelfleet"], check=False).returncode
    ):
        pytest.skip("no other Python with kernelfleet on this machine")
    command = [
        python,
        "-m",
        "kernelfleet.cli",
        "start",
        "-n",
        "2",
        "--name",
        "other",
        "--daemonize",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    try:
        with MultiEngineClient("other") as mec:
            assert pythons.differs(mec.engines()[0].python)
            assert "cannot go from Python" in refused(lambda: mec.apply(square, 2))
            mec.execute("def f(): return 1")
            assert "(the client)" in refused(lambda: mec.pull_function("f"))
            assert mec.map(abs, range(-20, 0)) == [abs(x) for x in range(-20, 0)]
            assert mec.apply(pow, 2, 5) == [32, 32]
    finally:
        subprocess.run(
            [sys.executable, "-m", "kernelfleet.cli", "stop", "other"], check=True, timeout=60,
            capture_output=True,
        )  # fmt: skip


@pytest.mark.slow
def test_n_engines_is_kept_current_in_kernels_that_are_not_ours() -> None:
    with Fleet(n=1, kernel=kernelspec("bare", hiding("kernelfleet"))) as mec:
        mec.scale(2, timeout=30)
        assert mec.pull("n_engines", timeout=20) == [2, 2]
        mec.scale(1, timeout=30)
        assert mec.pull("n_engines", timeout=20) == [1]
