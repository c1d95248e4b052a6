"""The tutorial of the original, typed in again: Python 3, and %px spelled execute.

What the engines number follows the tutorial up to ``map``, which used a number there and uses
none here: from then on our numbers are one less.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kernelfleet import MultiEngineClient, client
from tests.gate import Gate
from tests.promises import promise


def listing(text: str) -> str:
    """The tutorial's text, indented as it stands in the test, as ``repr`` gives it."""
    return "<Results List>\n" + re.sub(r"^ +", "", text.lstrip("\n"), flags=re.MULTILINE)


@promise("3: the tutorial's transcripts, from the first execute to the parallel exceptions")
def test_the_tutorial(mec: MultiEngineClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert mec.get_ids() == [0, 1, 2, 3]
    blocking_execution(mec, capsys)
    block_and_targets(mec)
    what_the_magics_ran(mec)
    push_and_pull(mec)
    functions(mec)
    dictionary_interface(mec)
    scatter_and_gather(mec)
    parallel_map(mec)
    barrier(mec)
    parallel_exceptions(mec, capsys)


def blocking_execution(mec: MultiEngineClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert repr(mec.execute("a=5")) == listing("""
        [0] In [1]: a=5
        [1] In [1]: a=5
        [2] In [1]: a=5
        [3] In [1]: a=5
        """)
    assert repr(mec.execute("b=10")) == listing("""
        [0] In [2]: b=10
        [1] In [2]: b=10
        [2] In [2]: b=10
        [3] In [2]: b=10
        """)
    assert repr(mec.execute("c=a+b", targets=[0, 2])) == listing("""
        [0] In [3]: c=a+b
        [2] In [3]: c=a+b
        """)
    assert repr(mec.execute("c=a-b", targets=[1, 3])) == listing("""
        [1] In [3]: c=a-b
        [3] In [3]: c=a-b
        """)
    assert repr(mec.execute("print(c)")) == listing("""
        [0] In [4]: print(c)
        [0] Out[4]: 15

        [1] In [4]: print(c)
        [1] Out[4]: -5

        [2] In [4]: print(c)
        [2] Out[4]: 15

        [3] In [4]: print(c)
        [3] Out[4]: -5

        """)
    result_dict = mec.execute("d=10; print(d)")
    for r in result_dict:
        print(r)
    text = "{'translated': 'd=10; print(d)', 'raw': 'd=10; print(d)'}"
    assert capsys.readouterr().out == "".join(
        f"{{'input': {text}, 'number': 5, 'id': {i}, 'stdout': '10\\n'}}\n" for i in range(4)
    )


def block_and_targets(mec: Any) -> None:
    mec.targets = [0, 2]
    mec.block = False
    pr = mec.execute("a=5")
    assert repr(pr.r) == listing("""
        [0] In [6]: a=5
        [2] In [6]: a=5
        """)
    mec.targets = "all"
    mec.block = True
    assert repr(mec.execute("b=10; print(b)")) == listing("""
        [0] In [7]: b=10; print(b)
        [0] Out[7]: 10

        [1] In [6]: b=10; print(b)
        [1] Out[6]: 10

        [2] In [7]: b=10; print(b)
        [2] Out[7]: 10

        [3] In [6]: b=10; print(b)
        [3] Out[6]: 10

        """)


def what_the_magics_ran(mec: MultiEngineClient) -> None:
    assert repr(mec.execute("import numpy")) == listing("""
        [0] In [8]: import numpy
        [1] In [7]: import numpy
        [2] In [8]: import numpy
        [3] In [7]: import numpy
        """)
    assert repr(mec.execute("a = numpy.random.rand(2,2)")) == listing("""
        [0] In [9]: a = numpy.random.rand(2,2)
        [1] In [8]: a = numpy.random.rand(2,2)
        [2] In [9]: a = numpy.random.rand(2,2)
        [3] In [8]: a = numpy.random.rand(2,2)
        """)
    printed = mec.execute("print(numpy.linalg.eigvals(a))")
    values = [str(np.linalg.eigvals(a)) for a in mec.pull("a")]
    assert repr(printed) == numbered("print(numpy.linalg.eigvals(a))", [10, 9, 10, 9], values)
    assert repr(mec.get_result()) == repr(printed)

    mec.block = False
    pending = [
        mec.execute("max_evals = []"),
        mec.execute(
            "for i in range(100):\n"
            "    a = numpy.random.rand(10,10)\n"
            "    a = a+a.transpose()\n"
            "    evals = numpy.linalg.eigvals(a)\n"
            "    max_evals.append(evals[0].real)\n"
        ),
    ]
    assert all(isinstance(each, client.PendingResult) for each in pending)
    mec.block = True
    code = 'print("Average max eigenvalue is: ", sum(max_evals)/len(max_evals))'
    printed = mec.execute(code)
    averages = mec.apply(lambda: str(sum(max_evals) / len(max_evals)))  # type: ignore[name-defined] # noqa: F821
    texts = [f"Average max eigenvalue is:  {average}" for average in averages]
    assert repr(printed) == numbered(code, [13, 12, 13, 12], texts)


def numbered(code: str, numbers: list[int], printed: list[str]) -> str:
    return "<Results List>\n" + "".join(
        f"[{i}] In [{n}]: {code}\n[{i}] Out[{n}]: {text}\n\n"
        for i, (n, text) in enumerate(zip(numbers, printed, strict=True))
    )


def push_and_pull(mec: Any) -> None:
    assert repr(mec.push({"a": 1.03234, "b": 3453})) == "[None, None, None, None]"
    assert repr(mec.pull("a")) == "[1.03234, 1.03234, 1.03234, 1.03234]"
    assert repr(mec.pull("b", targets=0)) == "[3453]"
    assert repr(mec.pull(("a", "b"))) == (
        "[[1.03234, 3453], [1.03234, 3453], [1.03234, 3453], [1.03234, 3453]]"
    )
    assert repr(mec.zip_pull(("a", "b"))) == (
        "[(1.03234, 1.03234, 1.03234, 1.03234), (3453, 3453, 3453, 3453)]"
    )
    assert repr(mec.push({"c": "speed"})) == "[None, None, None, None]"
    assert repr(mec.execute("print(c)")) == numbered("print(c)", [14, 13, 14, 13], ["speed"] * 4)
    mec.block = False
    pr = mec.pull("a")
    assert repr(pr.r) == "[1.03234, 1.03234, 1.03234, 1.03234]"
    mec.block = True


def functions(mec: MultiEngineClient) -> None:
    def f(x: float) -> float:
        return 2.0 * x**4

    assert repr(mec.push_function({"f": f})) == "[None, None, None, None]"
    assert repr(mec.execute("y = f(4.0)")) == listing("""
        [0] In [15]: y = f(4.0)
        [1] In [14]: y = f(4.0)
        [2] In [15]: y = f(4.0)
        [3] In [14]: y = f(4.0)
        """)
    assert repr(mec.execute("print(y)")) == numbered("print(y)", [16, 15, 16, 15], ["512.0"] * 4)


def dictionary_interface(mec: MultiEngineClient) -> None:
    mec["a"] = ["foo", "bar"]
    assert repr(mec["a"]) == ("[['foo', 'bar'], ['foo', 'bar'], ['foo', 'bar'], ['foo', 'bar']]")


def scatter_and_gather(mec: MultiEngineClient) -> None:
    assert repr(mec.scatter("a", range(16))) == "[None, None, None, None]"
    parts = ["[0, 1, 2, 3]", "[4, 5, 6, 7]", "[8, 9, 10, 11]", "[12, 13, 14, 15]"]
    assert repr(mec.execute("print(a)")) == numbered("print(a)", [17, 16, 17, 16], parts)
    assert mec.gather("a") == list(range(16))


def parallel_map(mec: MultiEngineClient) -> None:
    serial_result = list(map(lambda x: x**10, range(32)))  # noqa: C417 (as in the tutorial)
    assert mec.map(lambda x: x**10, range(32)) == serial_result
    assert repr(mec.scatter("x", range(64))) == "[None, None, None, None]"
    assert repr(mec.execute("y = [i**10 for i in x]")) == listing("""
        [0] In [18]: y = [i**10 for i in x]
        [1] In [17]: y = [i**10 for i in x]
        [2] In [18]: y = [i**10 for i in x]
        [3] In [17]: y = [i**10 for i in x]
        """)
    y = mec.gather("y")
    assert y[:9] == [0, 1, 1024, 59049, 1048576, 9765625, 60466176, 282475249, 1073741824]
    assert len(y) == 64


def barrier(mec: Any) -> None:
    mec.push({"time": SimpleNamespace(sleep=lambda _: None)})
    mec.block = False
    pr_list = [mec.execute("time.sleep(3)") for i in range(10)]
    mec.barrier(pr_list)
    assert repr(pr_list[0].r) == listing("""
        [0] In [19]: time.sleep(3)
        [1] In [18]: time.sleep(3)
        [2] In [19]: time.sleep(3)
        [3] In [18]: time.sleep(3)
        """)
    mec.block = True


def parallel_exceptions(mec: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text = "one or more exceptions from call to method: execute\n" + "\n".join(
        f"[{i}:execute]: ZeroDivisionError: division by zero" for i in range(4)
    )
    with pytest.raises(client.CompositeError) as caught:
        mec.execute("1/0")
    assert str(caught.value) == text
    with pytest.raises(ZeroDivisionError):
        caught.value.raise_exception()

    caught.value.print_tracebacks()
    blocks = capsys.readouterr().out.split("\n\n[")
    assert len(blocks) == 4
    for i, block in enumerate(blocks):
        lines = block.rstrip().splitlines()
        assert lines[0].lstrip("[") == f"{i}:execute]: "
        assert lines[1] == "-" * 75
        assert lines[2].startswith("ZeroDivisionError ")
        assert lines[-1] == "ZeroDivisionError: division by zero"

    mec.block = False
    pr = mec.execute("1/0")
    with pytest.raises(client.CompositeError) as again:
        pr.r  # noqa: B018
    assert str(again.value) == text


@promise("4: the tutorial's non-blocking transcript")
def test_the_tutorials_non_blocking_execution(mec: MultiEngineClient, gate: Gate) -> None:
    def expected(n: int, code: str) -> str:
        return "<Results List>\n" + "".join(f"[{i}] In [{n}]: {code}\n" for i in range(4))

    assert repr(mec.execute("import time")) == expected(1, "import time")
    mec.push({"time": SimpleNamespace(sleep=_waits_in(gate))})  # ten seconds are long
    pr = mec.execute("time.sleep(10)", block=False)
    assert isinstance(pr, client.PendingResult)
    assert pr.get_result(block=False) is None
    again = mec.execute("time.sleep(10)", block=False)
    assert again.get_result(block=False) is None
    gate.open()
    assert repr(pr.get_result()) == expected(2, "time.sleep(10)")
    assert repr(again.r) == expected(3, "time.sleep(10)")


def _waits_in(gate: Gate) -> Callable[[float], Any]:
    code = gate.code
    return lambda _: eval(code)
