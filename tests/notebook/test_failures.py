"""How errors look in a shell, and what the debugger and hints make of them."""

from __future__ import annotations

import sys

import pytest

from kernelfleet import CompositeError, MultiEngineClient
from kernelfleet.notebook import failures
from tests.notebook.conftest import Shell


def test_each_distinct_failure_has_one_traceback_with_its_engines(shell: Shell) -> None:
    out = shell.run("mec.execute('1/0 if engine_id < 3 else int(\"x\")')")
    assert out.count("ZeroDivisionError: division by zero") == 5  # a header, a traceback, 3 listed
    assert out.count("[0-2:execute]: ZeroDivisionError") == 1
    assert out.count("[3:execute]: ValueError: invalid literal") == 2
    assert out.rstrip().splitlines()[-1].startswith("[3:execute]: ValueError")


def test_the_users_frames_are_shown_and_none_of_kernelfleet(shell: Shell) -> None:
    shell.run("def outer():\n    return mec.execute('1/0')")
    out = shell.run("outer()")
    assert "outer()" in out
    assert "return mec.execute('1/0')" in out
    assert "kernelfleet" not in out.replace("kernelfleet.errors", "")


def test_a_magic_shows_no_frame_of_its_own(shell: Shell) -> None:
    out = shell.run("%px 1/0")
    assert out.startswith("Parallel execution on engines: all\n[0-3:execute]: ZeroDivisionError")


def test_the_error_of_a_pending_result_looks_the_same(shell: Shell) -> None:
    shell.run("pr = mec.execute('1/0', block=False)")
    out = shell.run("pr.r")
    assert "[0-3:execute]: ZeroDivisionError" in out
    assert "kernelfleet" not in out.replace("kernelfleet.errors", "")


def test_the_debugger_finds_e(shell: Shell) -> None:
    for cell in ("mec.execute('1/0')", "mec.execute('1/0', block=False).r"):
        shell.run(cell)
        tb = sys.last_traceback
        while tb is not None and tb.tb_next is not None:
            tb = tb.tb_next
        assert tb is not None
        assert isinstance(tb.tb_frame.f_locals["e"], CompositeError)
        assert sys.last_value is shell.error


def test_except_star_works_and_other_errors_are_ipythons(shell: Shell) -> None:
    out = shell.run(
        "try:\n    mec.execute('1/0')\nexcept* ZeroDivisionError as group:\n    print('caught')"
    )
    assert out == "caught\n"
    assert "ZeroDivisionError" in shell.run("1/0")
    assert "KeyboardInterrupt" in shell.run("raise KeyboardInterrupt")


@pytest.mark.parametrize("cell", ["%time mec.execute('1/0')", "%%time\nmec.execute('1/0')"])
def test_magics_that_run_code_show_it_as_well(shell: Shell, cell: str) -> None:
    out = shell.run(cell)
    assert out.count("[0-3:execute]: ZeroDivisionError") == 1
    assert "ExceptionGroup Traceback" not in out
    assert "[0-3:execute]" in shell.run("%tb")


def test_an_error_raised_while_handling_one_is_shown_with_it(shell: Shell) -> None:
    out = shell.run(
        "try:\n    mec.execute('1/0')\nexcept Exception as e:\n    raise KeyError('mine') from e"
    )
    assert "KeyError: 'mine'" in out
    assert "[3:execute]: ZeroDivisionError: division by zero" in out
    assert "ExceptionGroup Traceback" not in out


def test_other_groups_are_ipythons(shell: Shell) -> None:
    out = shell.run("raise ExceptionGroup('theirs', [ValueError()])")
    assert "ExceptionGroup: theirs" in out


def test_other_custom_handlers_go_on_working(bare: Shell, mec: MultiEngineClient) -> None:
    seen: list[type[BaseException]] = []
    bare.ip.set_custom_exc(
        (OSError,), lambda self, etype, value, tb, tb_offset=None: seen.append(etype)
    )
    failures.install(bare.ip)
    failures.install(bare.ip)
    bare.run("raise OSError")
    assert seen == [OSError]
    bare.ip.push({"mec": mec})
    assert "[0-3:execute]" in bare.run("mec.execute('1/0')")


def test_a_name_that_exists_here_only_gets_a_hint(shell: Shell) -> None:
    shell.run("threshold = 5")
    out = shell.run("%px threshold + 1")
    assert "Hint: `threshold` exists here but not on engines 0-3" in out
    assert "--push threshold" in out
    assert "Hint" not in shell.run("%px nowhere + 1")


def test_a_summary_is_one_line(mec: MultiEngineClient) -> None:
    with pytest.raises(CompositeError) as raised:
        mec.execute("1/0")
    assert failures.summary(raised.value) == (
        "4 engines failed: [0-3:execute]: ZeroDivisionError: division by zero"
    )
    with pytest.raises(CompositeError) as raised:
        mec.execute("eval(['1/0', 'int(\\'x\\')', '{}[0]', '1'][engine_id])")
    assert failures.summary(raised.value) == (
        "3 engines failed: [0:execute]: ZeroDivisionError: division by zero, and 2 other errors"
    )


def test_an_error_of_ours_shows_the_users_frames_and_no_others(shell: Shell) -> None:
    wanted = "InvalidEngineID: no engine 9: the engines are 0-3"
    shell.run("def ask():\n    return mec.execute('1', targets=9)")
    out = shell.run("ask()")
    assert "return mec.execute" in out
    assert "kernelfleet" not in out.replace("kernelfleet.errors", "")
    assert out.rstrip().endswith(wanted)
    assert shell.run("%%px --targets 9\n1").strip() == wanted
