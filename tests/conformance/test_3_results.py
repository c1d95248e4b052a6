"""Section 3: result dicts, ResultList, numbering, and how code runs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kernelfleet import MultiEngineClient, RemoteError
from tests.conformance.expect import failing
from tests.promises import promise


@promise("3: a result is a dict with input, number, id in this order; stdout, stderr only if any")
def test_a_result_prints_as_in_the_seeds(mec: MultiEngineClient) -> None:
    (quiet,) = mec.execute("d=10", targets=1)
    assert isinstance(quiet, dict)
    assert str(quiet) == "{'input': {'translated': 'd=10', 'raw': 'd=10'}, 'number': 1, 'id': 1}"
    (printing,) = mec.execute("d=10; print(d)", targets=1)
    assert str(printing) == (
        "{'input': {'translated': 'd=10; print(d)', 'raw': 'd=10; print(d)'}, "
        "'number': 2, 'id': 1, 'stdout': '10\\n'}"
    )
    (both,) = mec.execute("import sys\nprint('o')\nprint('e', file=sys.stderr)", targets=1)
    assert list(both) == ["input", "number", "id", "stdout", "stderr"]
    assert both["stderr"] == "e\n"


@promise("3: translated is always there, equal to raw where nothing was transformed")
def test_translated_differs_where_ipython_transformed(mec: MultiEngineClient) -> None:
    for code in ("a=1", "a=1\n", "a=1\n# end", "", "if 1:\n    a=1"):
        (result,) = mec.execute(code, targets=0)
        assert result["input"] == {"translated": code, "raw": code}
    (magic,) = mec.execute("%time a=1", targets=0)
    assert magic["input"]["raw"] == "%time a=1"
    assert magic["input"]["translated"] == "get_ipython().run_line_magic('time', 'a=1')"


@promise("3: attributes stdout, stderr, outputs, started, completed, duration, error, value")
def test_a_result_has_more_as_attributes(mec: MultiEngineClient) -> None:
    before = time.time()
    (result,) = mec.execute("{'a': engine_id}", targets=2)
    assert (result.stdout, result.stderr, result.error) == ("", "", None)
    assert result.value == {"a": 2}
    assert result.started is not None
    assert result.completed is not None
    assert before - 1 < result.started <= result.completed < time.time() + 1
    assert result.duration == result.completed - result.started
    (output,) = result.outputs
    assert output["output_type"] == "execute_result"
    assert output["data"]["text/plain"] == "{'a': 2}"
    assert mec.execute("a = 1", targets=2)[0].value is None


@promise("3: outputs are Jupyter outputs, in order")
def test_outputs_are_those_of_a_notebook(mec: MultiEngineClient) -> None:
    code = "from IPython.display import display, HTML\nprint('p')\ndisplay(HTML('<b>x</b>'))\n7"
    (result,) = mec.execute(code, targets=0)
    kinds = [output["output_type"] for output in result.outputs]
    assert kinds == ["stream", "display_data", "execute_result"]
    assert result.outputs[1]["data"]["text/html"] == "<b>x</b>"


@promise("3: value is fetched on demand, also of an earlier command")
def test_values_are_fetched_on_demand(mec: MultiEngineClient) -> None:
    first = mec.execute("engine_id * 2")
    mec.execute("'something else'")
    assert first.values() == [0, 2, 4, 6]
    assert [result.value for result in mec.get_result(1)] == [0, 2, 4, 6]


@promise("3: ResultList is a list")
def test_a_result_list_is_a_list(mec: MultiEngineClient) -> None:
    results = mec.execute("a=1")
    assert isinstance(results, list)
    assert len(results) == 4
    assert results == mec.get_result()
    assert results[-1]["id"] == 3


@promise("3: repr(ResultList) with what was printed, a blank line after it")
def test_repr_with_output(mec: MultiEngineClient) -> None:
    mec.push({"c": 15}, targets=0)
    mec.push({"c": -5}, targets=1)
    assert repr(mec.execute("print(c)", targets=[0, 1])) == (
        "<Results List>\n"
        "[0] In [1]: print(c)\n[0] Out[1]: 15\n\n"
        "[1] In [1]: print(c)\n[1] Out[1]: -5\n\n"
    )


@promise("3: repr(ResultList) without output is one line per engine")
def test_repr_without_output(mec: MultiEngineClient) -> None:
    assert repr(mec.execute("a=5")) == (
        "<Results List>\n[0] In [1]: a=5\n[1] In [1]: a=5\n[2] In [1]: a=5\n[3] In [1]: a=5\n"
    )
    assert repr(mec.execute("a", targets=[])) == "<Results List>\n"


@promise("3: repr(ResultList) shows the last expression's value in the Out block, stdout first")
def test_repr_with_a_value(mec: MultiEngineClient) -> None:
    assert repr(mec.execute("print('p'); 7", targets=0)) == (
        "<Results List>\n[0] In [1]: print('p'); 7\n[0] Out[1]: p\n7\n\n"
    )
    assert repr(mec.execute("7", targets=0)) == ("<Results List>\n[0] In [2]: 7\n[0] Out[2]: 7\n\n")


@promise("3: repr(ResultList) shows stderr as Err")
def test_repr_with_stderr(mec: MultiEngineClient) -> None:
    code = "import sys; print('e', file=sys.stderr)"
    assert repr(mec.execute(code, targets=0)) == (
        f"<Results List>\n[0] In [1]: {code}\n[0] Err[1]: e\n"
    )


@promise("3: repr of a failed command shows its error as Err")
def test_repr_of_a_failed_command(mec: MultiEngineClient) -> None:
    with failing(ZeroDivisionError, engines=[0]):
        mec.execute("1/0", targets=0)
    assert repr(mec.get_result(targets=0)) == (
        "<Results List>\n[0] In [1]: 1/0\n[0] Err[1]: ZeroDivisionError: division by zero\n"
    )


@promise("3: no colour codes in repr")
def test_no_colours_in_repr(mec: MultiEngineClient) -> None:
    with failing(RemoteError, engines=[0]):
        mec.execute("class Odd(Exception):\n    pass\nraise Odd('x')", targets=0)
    mec.execute("print('\\x1b[31mred\\x1b[0m')", targets=1)
    assert "\x1b" not in repr(mec.get_result(targets=0))


@promise("3: each engine counts its own executes from 1; a failing one uses one")
def test_each_engine_counts_its_own(mec: MultiEngineClient) -> None:
    assert [r["number"] for r in mec.execute("a=1")] == [1, 1, 1, 1]
    mec.execute("a=1", targets=[0, 2])
    with failing(ZeroDivisionError, engines=[1]):
        mec.execute("1/0", targets=1)
    with failing(SyntaxError, engines=[2]):
        mec.execute("a b", targets=2)
    assert [r["number"] for r in mec.execute("")] == [3, 3, 4, 2]
    assert [r["number"] for r in mec.execute("a=1")] == [4, 4, 5, 3]


@promise("3: data movement uses up no number")
def test_data_movement_uses_no_number(mec: MultiEngineClient) -> None:
    mec.push({"a": 1})
    mec.pull("a")
    mec.zip_pull(("a", "a"))
    mec.push_function({"f": len})
    mec.pull_function("f")
    mec["b"] = 2
    assert mec["b"] == [2] * 4
    mec.scatter("s", range(8))
    mec.gather("s")
    mec.apply(len, "abc")
    mec.keys()
    mec.peek("a")
    assert [r["number"] for r in mec.execute("a=1")] == [1, 1, 1, 1]


@promise("3: code runs as IPython would run it: magics")
def test_magics_run(mec: MultiEngineClient) -> None:
    assert mec.execute("%env KF_MAGIC=here", targets=0)[0].stdout == "env: KF_MAGIC=here\n"
    assert mec.execute("%%capture out\nprint('hidden')", targets=0)[0].stdout == ""
    assert mec.execute("print(out.stdout)", targets=0)[0].stdout == "hidden\n\n"


@promise("3: code runs as IPython would run it: !shell")
def test_shell_commands_run(mec: MultiEngineClient) -> None:
    assert mec.execute("lines = !echo from shell", targets=0)[0].stdout == ""
    assert mec.apply(lambda: list(lines), targets=0) == [["from shell"]]  # type: ignore[name-defined] # noqa: F821
    assert "direct" in mec.execute("!echo direct", targets=0)[0].stdout


@promise("3: code runs as IPython would run it: top-level await")
def test_top_level_await_runs(mec: MultiEngineClient) -> None:
    code = "import asyncio\nawait asyncio.sleep(0)\nx = await asyncio.sleep(0, 7)\nx"
    (result,) = mec.execute(code, targets=0)
    assert result.value == 7


@promise("3: code stops at the first error")
def test_code_stops_at_the_first_error(mec: MultiEngineClient) -> None:
    with failing(ZeroDivisionError, engines=[0]):
        mec.execute("a = 1\n1/0\na = 2", targets=0)
    assert mec.pull("a", targets=0) == [1]


@promise("3: engine_id and n_engines are in the namespace, and kept current after kill")
def test_engines_know_who_they_are(mec: MultiEngineClient, start_fleet: Any) -> None:
    assert mec.pull(("engine_id", "n_engines")) == [[i, 4] for i in range(4)]
    own = start_fleet(3)
    own.kill(0)
    assert [r.stdout for r in own.execute("print(engine_id, n_engines)")] == ["1 2\n", "2 2\n"]


@pytest.mark.parametrize("lines", [1, 3000])
@promise("3: output is complete and in order when the result is there")
def test_output_is_complete(mec: MultiEngineClient, lines: int) -> None:
    code = f"import sys\nfor i in range({lines}):\n    print(i)\nsys.stdout.write('end')"
    for result in mec.execute(code):
        assert result.stdout == "".join(f"{i}\n" for i in range(lines)) + "end"
