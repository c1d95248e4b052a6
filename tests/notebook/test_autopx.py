"""``%autopx``: where cells go while it is on, and what stays here."""

from __future__ import annotations

import pytest

from kernelfleet import CompositeError, MultiEngineClient, PendingResult
from kernelfleet.notebook import autopx
from tests.notebook.conftest import Shell


@pytest.fixture
def auto(shell: Shell) -> Shell:
    assert shell.run("%autopx") == "Auto Parallel Enabled\nType %autopx to disable\n"
    return shell


def test_cells_go_to_the_engines_until_it_is_said_again(auto: Shell) -> None:
    auto.run("a = engine_id")
    out = auto.run("for i in range(2):\n    print(a * 10)")
    assert "[3] Out[2]: 30\n30\n" in out
    assert "a" not in auto.ip.user_ns
    assert auto.run("%autopx") == "Auto Parallel Disabled\n"
    auto.run("b = 1")
    assert auto["b"] == 1
    assert auto["mec"].keys() == [["a", "i"]] * 4


def test_without_block_the_pending_result_is_shown(auto: Shell, mec: MultiEngineClient) -> None:
    mec.block = False
    out = auto.run("a = 1")
    assert "<PendingResult execute on engines [0,1,2,3]" in out
    assert isinstance(auto.result.result, PendingResult)
    auto.result.result.wait(30)


def test_an_error_is_shown_and_does_not_leave_the_mode(auto: Shell) -> None:
    out = auto.run("1/0")
    assert isinstance(auto.error, CompositeError)
    assert out.count("Traceback (most recent call last)") == 1
    auto.run("a = 1")
    assert auto["mec"].keys() == [["a"]] * 4


def test_a_syntax_error_is_shown_here_and_nothing_is_sent(auto: Shell) -> None:
    assert "SyntaxError" in auto.run("b = = 3")
    auto.run("%result")
    assert isinstance(auto.error, CompositeError)  # the engines have run nothing


@pytest.mark.parametrize(
    "cell", ["await __import__('asyncio').sleep(0)", "%pwd", "!true", "%%time\nx = 1", "ls", "a?"]
)
def test_whatever_ipython_understands_goes_to_the_engines(auto: Shell, cell: str) -> None:
    auto.run(cell)
    (latest, *_) = auto["mec"].get_result()
    assert latest["input"]["raw"] == cell
    assert auto.error is None


def test_own_magics_and_debug_stay_here(auto: Shell) -> None:
    assert "Parallel execution on engines: all" in auto.run("px c = 1")
    assert auto.run("%%px -t 0\nprint(c)") == "[0] 1\n"
    auto.run("%result")
    assert auto.result.result[0]["input"]["raw"] == "print(c)"
    assert "engine" in auto.run("%fleet status")
    auto.run("# first a comment\n%px d = 1")
    auto.run("%debug")
    (latest, *_) = auto["mec"].get_result()
    assert latest["input"]["raw"] == "d = 1"


def test_variables_named_like_magics_are_the_engines(auto: Shell) -> None:
    auto.run("result = 5")
    auto.run("px = result + 1")
    assert auto["mec"].pull("px") == [6] * 4


def test_what_a_frontend_runs_silently_stays_here(auto: Shell) -> None:
    auto.ip.run_cell("quiet = 1", silent=True)
    assert auto["quiet"] == 1
    assert auto["mec"].keys() == [[]] * 4


def test_the_mode_may_end_in_the_last_line_of_a_cell(auto: Shell) -> None:
    assert auto.run("x = 1\n%autopx").endswith("Auto Parallel Disabled\n")
    assert auto["mec"].keys() == [["x"]] * 4


def test_history_has_what_was_typed(auto: Shell) -> None:
    auto.run("typed = 1")
    assert auto.ip.history_manager.input_hist_raw[-1] == "typed = 1"


def test_completeness_checks_do_not_see_it(auto: Shell) -> None:
    assert auto.ip.check_complete("for i in x:")[0] == "incomplete"
    assert auto.ip.check_complete("x = 1")[0] == "complete"


def test_an_argument_is_a_usage_error(shell: Shell) -> None:
    assert "takes no argument" in shell.run("%autopx on")


def test_a_cell_that_ends_the_mode_shows_its_result_too(shell: Shell) -> None:
    shell.run("%autopx")
    out = shell.run("print('last words')\n%autopx")
    assert out.count("Out[1]: last words") == 4
    assert out.rstrip().endswith("Auto Parallel Disabled")


@pytest.mark.parametrize("mode", ["", "%autopx"])
def test_a_cell_under_local_runs_here_in_the_mode_and_outside_of_it(
    shell: Shell, mode: str
) -> None:
    shell.run(mode)
    before = len(shell["mec"].timeline())
    assert shell.run("%%local\nhere = 20\nhere + 1").endswith("21\n")
    assert shell["here"] == 20
    assert "----> 3 1/0" in shell.run("%%local  # as it is\nb = 1\n1/0")
    assert isinstance(shell.error, ZeroDivisionError)
    assert "Wall time" in shell.run("%%local\n%%time\nc = 5")
    assert shell["c"] == 5
    assert "takes nothing on its line" in shell.run("%%local now\n1")
    assert len(shell["mec"].timeline()) == before
    shell.run("%%px\nd = 1")
    assert shell["mec"].keys() == [["d"]] * 4


def test_after_a_cell_under_local_cells_go_to_the_engines_again(auto: Shell) -> None:
    auto.run("%%local\n1/0")
    auto.run("%%local\nget_ipython().run_cell('nested = 1')")
    assert auto["nested"] == 1
    auto.run("a = 1")
    assert auto["mec"].keys() == [["a"]] * 4


def test_code_may_run_a_cell_here_by_the_magic_itself(shell: Shell) -> None:
    shell.run("get_ipython().run_cell_magic('local', '', 'x = 3')")
    assert shell["x"] == 3


@pytest.mark.parametrize("mode", ["", "%autopx", "%fleet cells -q"])
def test_a_cell_runs_on_the_engines_that_are_named(shell: Shell, mode: str) -> None:
    shell.run(mode)
    assert shell.run("%%engine 1\nx = 5\nx") == "[1] Out[1]: 5\n"
    shell.run("%%engine -2:\ny = 1")
    assert shell["mec"].keys() == [[], ["x"], ["y"], ["y"]]
    shell.run("%%engine 0 --on-error keep --out kept\n1/0")
    assert isinstance(shell["kept"], CompositeError)


def test_engines_that_are_not_named_are_asked_for(shell: Shell) -> None:
    assert "which engines?" in shell.run("%%engine\n1")
    assert "which engines?" in shell.run("%%engine --noblock\n1")
    assert "%%px: 'x': targets are all, 0" in shell.run("%%engine x\n1")


def test_plain_python_is_sent_without_being_taken_apart_for_magics(
    auto: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autopx, "TransformerManager", lambda: pytest.fail("was taken apart"))
    assert "[0] Out[1]: 0" in auto.run("engine_id * 10")
