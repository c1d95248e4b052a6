"""``%px``, ``%%px``, ``%result``, ``%pxpeek``, ``%pxdebug``, typed into a shell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError

from kernelfleet import CallTimeout, CompositeError, MultiEngineClient, PendingResult, ResultList
from kernelfleet.errors.text import without_colours
from kernelfleet.notebook import magics
from kernelfleet.notebook.frontend import IPythonFrontend
from tests.gate import Gate
from tests.notebook.conftest import Shell
from tests.promises import promise


def test_px_says_where_it_runs_and_returns_what_execute_returns(shell: Shell) -> None:
    out = shell.run("%px print(engine_id)")
    assert out.startswith("Parallel execution on engines: all\n")
    assert isinstance(shell.result.result, ResultList)
    assert repr(shell.result.result).startswith("<Results List>\n[0] In [1]: print(engine_id)\n")
    assert out.count("print(engine_id)") == 4


def test_px_follows_the_clients_targets_and_block(shell: Shell, mec: MultiEngineClient) -> None:
    mec.targets, mec.block = [2, 0], False
    out = shell.run("%px 1")
    assert "Parallel execution on engines: [2, 0]" in out
    pending = shell.result.result
    assert isinstance(pending, PendingResult)
    assert [each["id"] for each in pending.r] == [2, 0]


def test_px_works_without_its_percent_sign(shell: Shell) -> None:
    shell.run("px a = 6 * 7")
    assert shell["mec"].pull("a", targets=0) == [42]


def test_px_leaves_braces_and_dollars_alone(shell: Shell) -> None:
    shell.run("local = 5")
    shell.run("%px a = '{local} $local'")
    assert shell["mec"].pull("a", targets=0) == ["{local} $local"]


def test_px_raises_a_composite_error(shell: Shell) -> None:
    shell.run("%px 1/0")
    assert isinstance(shell.error, CompositeError)


def test_px_without_code_is_a_usage_error(shell: Shell) -> None:
    assert "%px needs code" in shell.run("%px")


@pytest.mark.parametrize(
    "line",
    [
        "%px 1", "%%px\n1", "%result", "%autopx", "%pxpeek a", "%pxdebug", "%fleet status",
        "%fleet use 0", "%fleet restart", "%fleet attach",
    ],
)  # fmt: skip
@promise("8: without an active client a magic is a UsageError of one line that says what to do")
def test_without_a_client_one_line_says_what_to_do_and_the_run_stops(
    bare: Shell, line: str
) -> None:
    assert bare.run("%load_ext kernelfleet") == ""
    out = bare.run(line)
    assert len(out.splitlines()) == 1
    assert "No active client" in out
    assert "%fleet start" in out
    assert isinstance(bare.error, UsageError)


@promise("8: a %px line shows its result wherever it stands, once")
def test_every_px_line_of_a_cell_shows_its_result_once(shell: Shell) -> None:
    def shown(cell: str) -> list[str]:
        out = shell.run(cell)
        assert shell.error is None
        lines = [line for line in out.splitlines() if line.startswith("[0] Out[")]
        return [line.partition("]: ")[2] for line in lines]

    assert shown("%px print('first')\n%px print('second')") == ["first", "second"]
    assert shown("for i in range(3):\n    %px print('turn')") == ["turn"] * 3
    assert shown("if True:\n    %px print('branch')\nx = 1") == ["branch"]
    assert shown("%px print('before')\nx = 1") == ["before"]
    assert shown("def f():\n    %px print('inside')\n    return 1\nf()\nNone") == ["inside"]
    assert shown("%px print('last')") == ["last"]
    assert shown("%px print('quiet');") == ["quiet"]
    assert shown("r = get_ipython().run_line_magic('px', 'print(1)')") == []
    assert shown("get_ipython().run_line_magic('px', 'print(2)') and None") == []
    mode = shell.ip.ast_node_interactivity
    shell.ip.ast_node_interactivity = "all"
    assert shown("%px print('one')\n%px print('two')") == ["one", "two"]
    shell.ip.ast_node_interactivity = mode


def test_a_px_line_that_fails_stops_the_cell(shell: Shell) -> None:
    out = shell.run("%px print('first')\n%px 1/0\n%px print('never')")
    assert "[0] Out[1]: first" in out
    assert "never" not in out
    assert isinstance(shell.error, CompositeError)


def test_options_on_a_line_of_px_are_told_where_they_belong(shell: Shell) -> None:
    for line in ("-t 0 print(1)", "--targets=0 print(1)", "--noblock x = 1", "-o r 5"):
        assert "%px takes code and no options" in shell.run(f"%px {line}")
        assert isinstance(shell.error, UsageError)
    shell.run("%px t = 5")
    assert "[0] Out[2]: -5" in shell.run("%px -t")


@pytest.mark.parametrize("line", ["-o {name}", "--out $name", "-t {which} -o {name}"])
@promise("8: the options of %%px expand {name} and $name, its code does not")
def test_variables_in_the_options_of_a_cell_are_expanded(shell: Shell, line: str) -> None:
    shell.run("which, name, there = '1', 'res', 'client'")
    shell.run(f"%%px {line}\nthere = 5\ny = f'{{1 + 1}} {{there}} $name'")
    assert shell["res"][0]["id"] == ("{which}" in line)
    assert shell["mec"].pull("y", targets=1) == ["2 5 $name"]


def test_a_local_variable_of_a_function_is_expanded_too(shell: Shell) -> None:
    shell.run("def f(where):\n    get_ipython().run_cell_magic('px', '-o found -t {where}', '1')")
    shell.run("f(2)")
    assert shell["found"][0]["id"] == 2


@pytest.mark.parametrize("line", ["%%px --help\n1/0", "%%px -h\n1/0", "%px --help"])
def test_help_is_printed_and_nothing_runs(shell: Shell, line: str) -> None:
    out = shell.run(line)
    assert out.startswith("usage: %%px [options]")
    assert "--on-error {raise,keep,show}" in out
    assert shell.error is None


# -- %%px --------------------------------------------------------------------------------


def test_a_cell_shows_its_output_and_returns_nothing(shell: Shell) -> None:
    out = shell.run("%%px\nprint('same')\nengine_id")
    assert out == ("[0-3] same\n[0] Out[1]: 0\n[1] Out[1]: 1\n[2] Out[1]: 2\n[3] Out[1]: 3\n")
    assert shell.result.result is None


def test_the_code_of_a_cell_has_no_newline_added(shell: Shell) -> None:
    shell.run("%%px --out r\na = 1\nb = 2\n")
    assert shell["r"][0]["input"]["raw"] == "a = 1\nb = 2"


@pytest.mark.parametrize(
    ("targets", "ids"),
    [("all", [0, 1, 2, 3]), ("2", [2]), ("3,0", [3, 0]), ("1:3", [1, 2]), ("-1:", [3])],
)
def test_targets_of_a_cell(shell: Shell, targets: str, ids: list[int]) -> None:
    shell.run(f"%%px -t {targets} -o r\n1")
    assert [each["id"] for each in shell["r"]] == ids
    assert shell["mec"].targets == "all"


def test_targets_are_never_evaluated(shell: Shell) -> None:
    assert "targets are all, 0, 0,2" in shell.run("%%px -t __import__('os')\n1")
    assert isinstance(shell.error, UsageError)


def test_out_binds_the_results_and_with_noblock_the_pending_result(shell: Shell) -> None:
    shell.run("%%px --out r\n1")
    assert isinstance(shell["r"], ResultList)
    shell.run("%%px --noblock --out p\n2")
    assert isinstance(shell["p"], PendingResult)
    assert shell["p"].r.values() == [2] * 4


def test_variables_are_pushed_before_and_pulled_after(shell: Shell) -> None:
    shell.run("base = 10")
    shell.run("%%px --push base --pull x,y\nx = base + engine_id\ny = 'y'")
    assert shell["x"] == [10, 11, 12, 13]
    assert shell["y"] == ["y"] * 4


def test_pushing_what_is_not_here_is_a_usage_error_and_nothing_runs(shell: Shell) -> None:
    assert "there is no such variable here" in shell.run("%%px --push nowhere\nz = 1")
    assert shell["mec"].keys() == [[]] * 4


def test_a_cell_may_run_here_as_well(shell: Shell) -> None:
    out = shell.run("%%px --local\nwhere = 'everywhere'\nprint(len(where))")
    assert shell["where"] == "everywhere"
    assert shell["mec"].pull("where", targets=0) == ["everywhere"]
    assert out == "10\n[0-3] 10\n"


def test_collapsing_can_be_switched_off_for_a_cell_and_for_all(shell: Shell) -> None:
    each = "[0] x\n[1] x\n[2] x\n[3] x\n"
    assert shell.run("%%px --no-collapse\nprint('x')") == each
    shell.run("%config KernelFleet.collapse = False")
    assert shell.run("%%px\nprint('x')") == each
    assert shell.run("%%px --collapse\nprint('x')") == "[0-3] x\n"


def test_a_timeout_ends_the_cell_and_not_the_work(shell: Shell, gate: Gate) -> None:
    out = shell.run(f"%%px --timeout 0.2\n{gate.code}")
    assert isinstance(shell.error, CallTimeout)
    assert "sys.last_value.pending_result is the call that goes on" in out
    gate.open()
    assert shell.error.pending_result.wait(30)


def test_timeout_and_pull_make_no_sense_for_what_is_not_waited_for(shell: Shell) -> None:
    assert "waited for" in shell.run("%%px --noblock --timeout 1\n1")
    assert "waited for" in shell.run("%%px --noblock --pull a\n1")


def test_what_was_printed_before_an_error_is_shown(shell: Shell) -> None:
    out = shell.run("%%px\nprint('before')\n1/engine_id")
    assert out.startswith("[0-3] before\n[1] Out[1]: 1.0\n")
    assert isinstance(shell.error, CompositeError)


def test_an_error_can_be_kept(shell: Shell) -> None:
    out = shell.run("%%px --on-error keep --out e\n1/engine_id")
    assert shell.error is None
    assert "1 engine failed: [0:execute]: ZeroDivisionError: division by zero; see e" in out
    assert sorted(shell["e"].results) == [1, 2, 3]


def test_an_error_can_be_shown_without_ending_the_run(shell: Shell) -> None:
    out = shell.run("%%px --on-error show\n1/0")
    assert shell.error is None
    assert out.count("Traceback (most recent call last)") == 1
    assert "[0-3:execute]: ZeroDivisionError" in out


def test_live_lines_in_a_terminal_come_once_each_and_all_of_them(shell: Shell) -> None:
    code = "import time\nfor i in range(6):\n    print('line', i)\n    time.sleep(0.15)"
    out = shell.run(f"%%px -t 0,1\n{code}")
    expected = {f"[{engine}] line {i}" for engine in (0, 1) for i in range(6)}
    assert sorted(out.splitlines()) == sorted(expected)
    for engine in (0, 1):
        mine = [line for line in out.splitlines() if line.startswith(f"[{engine}]")]
        assert mine == [f"[{engine}] line {i}" for i in range(6)]


def test_a_hundred_thousand_lines_are_all_in_the_result(shell: Shell) -> None:
    shell.run("%%px -t 0 -o r\nfor i in range(100_000): print(i)")
    assert shell["r"][0].stdout == "".join(f"{i}\n" for i in range(100_000))


# -- %result, %pxpeek, %pxdebug ------------------------------------------------------------


def test_result_shows_the_latest_command_or_one_by_number(shell: Shell) -> None:
    shell.run("%px a = 1")
    shell.run("%px b = 2")
    shell.run("%result")
    assert [each["number"] for each in shell.result.result] == [2] * 4
    shell.run("%result 1")
    assert shell.result.result[0]["input"]["raw"] == "a = 1"


def test_result_shows_a_failed_command_and_waits_also_without_block(
    shell: Shell, mec: MultiEngineClient
) -> None:
    shell.run("%px 1/0")
    mec.block = False
    out = shell.run("%result")
    assert shell.error is None
    assert "[0] Err[1]: ZeroDivisionError: division by zero" in out


@promise("4: %result says what still runs")
def test_result_tells_what_still_runs(shell: Shell, gate: Gate) -> None:
    shell.run("%px -1")
    pending = shell["mec"].execute(gate.code, targets=[1, 2], block=False)
    gate.entered(2)
    out = shell.run("%result")
    assert out.startswith("[1-2] still runs execute(")
    assert f"`%fleet attach {pending.result_id}` shows its output" in out
    assert "[1] Out[1]: -1" in out
    shell["mec"].restart(0)
    fresh = shell["mec"].execute(gate.code, targets=0, block=False)
    gate.entered()
    shell["mec"].targets = 0
    out = shell.run("%result")
    assert out.count("\n") == 1
    assert out.startswith("[0] still runs execute(")
    assert shell.error is None
    gate.open()
    shell["mec"].barrier([pending, fresh])


def test_result_wants_a_number(shell: Shell) -> None:
    assert "takes the number of a command" in shell.run("%result one")


def test_peek_reads_variables_of_busy_engines(shell: Shell, gate: Gate) -> None:
    shell.run("%px step = engine_id * 10")
    pending = shell["mec"].execute(gate.code, block=False)
    shell.run("%pxpeek step")
    assert shell.result.result == {0: 0, 1: 10, 2: 20, 3: 30}
    gate.open()
    pending.wait(30)
    assert "which variables?" in shell.run("%pxpeek")


class Typist:
    """Stands in for the user at ``input``."""

    def __init__(self, *answers: str) -> None:
        self.answers: Iterator[str] = iter(answers)
        self.prompts: list[str] = []

    def __call__(self, prompt: str = "") -> str:
        self.prompts.append(prompt)
        return next(self.answers)


@pytest.fixture
def typist(monkeypatch: pytest.MonkeyPatch) -> Any:
    def typist(*answers: str) -> Typist:
        typist = Typist(*answers)
        monkeypatch.setattr("builtins.input", typist)
        return typist

    return typist


def test_debugging_happens_in_the_engine_that_failed(shell: Shell, typist: Any) -> None:
    shell.run("%%px\ndef f(x):\n    return 1 / (x - 2)")
    shell.run("%px f(engine_id)")
    user = typist("p x", "q")
    out = shell.run("%pxdebug")
    assert user.prompts == ["[2] ipdb> ", "[2] ipdb> "]
    assert "[2] 2" in out
    assert "return 1 / (x - 2)" in without_colours(out)


def test_input_on_engines_reaches_the_user_one_at_a_time(shell: Shell, typist: Any) -> None:
    user = typist("a", "b", "c", "d")
    shell.run("%%px\nanswer = input('name? ')")
    assert sorted(user.prompts) == [f"[{i}] name? " for i in range(4)]
    assert sorted(shell["mec"].pull("answer")) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("transport", ["tcp"])
def test_a_fleet_in_another_process_serves_the_same(shell: Shell, typist: Any) -> None:
    user = typist("ann")
    out = shell.run("%%px -t 1\nprint('hello', input('name? '))")
    assert user.prompts == ["[1] name? "]
    assert out == "[1] hello ann\n"
    code = "import time\nfor i in range(5):\n    print(i)\n    time.sleep(0.15)"
    assert shell.run(f"%%px -t 0\n{code}") == "".join(f"[0] {i}\n" for i in range(5))


def test_debugging_without_a_failure_says_so(shell: Shell) -> None:
    shell.run("%px 1")
    assert "nothing to debug" in shell.run("%pxdebug")


def test_debugging_where_nobody_can_answer_is_refused(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run("%px 1/0")
    monkeypatch.setattr(magics, "is_notebook", lambda _: True)
    monkeypatch.setattr(IPythonFrontend, "is_watched", lambda _: False)
    assert "nobody is here to answer" in shell.run("%pxdebug 0")


def test_two_clients_have_magics_of_their_own(shell: Shell, mec: MultiEngineClient) -> None:
    mec.view([1, 3]).activate(suffix="odd", shell=shell.ip)
    shell.run("%pxodd x = 'odd'")
    shell.run("%%pxodd\ny = x")
    assert mec.keys() == [[], ["x", "y"], [], ["x", "y"]]
    shell.run("%px z = 1")
    assert mec.keys()[0] == ["z"]
    with pytest.raises(ValueError, match="suffix"):
        mec.activate(suffix="-x", shell=shell.ip)
