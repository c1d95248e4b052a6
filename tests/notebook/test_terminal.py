"""Terminal IPython behind a pseudo-terminal: prompts, live lines, Ctrl-C, the debuggers."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator

import pexpect
import pytest

from kernelfleet.errors.text import without_colours

pytestmark = pytest.mark.slow

_CURSOR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Terminal:
    """``ipython`` with two engines."""

    def __init__(self) -> None:
        command = ["-m", "IPython", "--simple-prompt", "--colors=nocolor", "--no-banner"]
        command += ["--HistoryManager.enabled=False"]
        environment = {**os.environ, "TERM": "xterm", "PYTHONWARNINGS": ""}
        self.child = pexpect.spawn(
            sys.executable, command, env=environment, encoding="utf-8", timeout=30,
            dimensions=(40, 120),
        )  # fmt: skip
        self.number = 1
        self.child.expect_exact("In [1]: ")
        self.run("%load_ext kernelfleet")
        self.run("%fleet start -n 2")

    def send(self, line: str) -> None:
        self.child.sendline(line)

    def prompt(self) -> str:
        """Wait for the next prompt; what came before it."""
        self.number += 1
        self.child.expect_exact(f"In [{self.number}]: ")
        return str(self.child.before)

    def run(self, line: str) -> str:
        """Run a line; what it showed, cursor movements and the echoed input left out."""
        self.send(line)
        shown = _CURSOR.sub("", without_colours(self.prompt()))
        return shown.partition("\n")[2]

    def close(self) -> None:
        self.child.sendeof()
        self.child.expect_exact("Do you really want to exit")
        self.child.sendline("y")
        self.child.expect(pexpect.EOF)
        self.child.close()


@pytest.fixture(scope="module")
def session() -> Iterator[Terminal]:
    session = Terminal()
    yield session
    session.close()


@pytest.fixture
def terminal(session: Terminal) -> Terminal:
    """The module's terminal, with engines without a past."""
    session.run("mec.reset();")
    return session


def test_a_session_in_the_terminal_looks_as_in_the_tutorial(terminal: Terminal) -> None:
    number = terminal.number
    assert terminal.run("%px a = engine_id") == (
        f"Parallel execution on engines: all\nOut[{number}]: \n<Results List>\n"
        "[0] In [1]: a = engine_id\n[1] In [1]: a = engine_id\n\n"
    )
    assert "[1] Out[2]: 1" in terminal.run("px print(a)")
    enabled = terminal.run("%autopx")
    assert enabled.startswith("Auto Parallel Enabled\nType %autopx to disable\n")
    assert enabled.endswith("px ")  # in front of the prompt
    assert "[0] In [3]: b = a" in terminal.run("b = a")
    assert "Auto Parallel Disabled" in terminal.run("%autopx")
    assert "[0-1:execute]: ZeroDivisionError" in terminal.run("mec.execute('1/0')")


def test_live_lines_come_while_it_runs_and_are_wiped_for_the_result(terminal: Terminal) -> None:
    terminal.run("%px import time")
    terminal.send("%px print('soon'); time.sleep(2); print('late')")
    terminal.child.expect_exact("[0] soon", timeout=1.9)
    shown = terminal.prompt()
    assert "\x1b[J" in shown  # wiped
    assert "[0] Out[2]: soon\r\nlate" in shown


def test_ctrl_c_interrupts_the_engines_and_says_which(terminal: Terminal) -> None:
    terminal.run("%px import time")
    terminal.send("mec.execute('time.sleep(60)', targets=1)")
    terminal.child.expect_exact("0 of 1 engines done", timeout=5)
    began = time.monotonic()
    terminal.child.sendintr()
    shown = without_colours(terminal.prompt())
    assert time.monotonic() - began < 2.5
    assert "engines interrupted: 1" in shown
    assert "kernelfleet/client" not in shown
    assert "KeyboardInterrupt" in terminal.run("import sys; sys.last_value.pending_result.r")


def test_a_second_ctrl_c_gives_control_back_at_once(terminal: Terminal) -> None:
    terminal.run("%px import time, signal")
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    terminal.send(f"%px {deaf}")
    terminal.child.expect_exact("[0] deaf")
    terminal.child.sendintr()
    terminal.child.expect(pexpect.TIMEOUT, timeout=0.3)  # it waits for the engines to stop
    terminal.child.sendintr()
    began = time.monotonic()
    shown = terminal.prompt()
    assert time.monotonic() - began < 0.8
    assert "engines interrupted: 0, 1; sys.last_value.pending_result has what came" in shown
    assert "not stopped yet: 0-1 in time.sleep(60) in line 1" in shown
    assert "mec.restart([0, 1]) ends it" in shown
    terminal.run("%fleet restart")


def test_debug_lands_where_e_is_the_exception(terminal: Terminal) -> None:
    terminal.run("mec.execute('1/0')")
    terminal.send("%debug")
    terminal.child.expect_exact("ipdb> ")
    terminal.send("e.print_tracebacks()")
    terminal.child.expect_exact("[1:execute]: ")
    terminal.child.expect_exact("ipdb> ")
    terminal.send("q")
    terminal.prompt()


def test_pxdebug_is_a_conversation_with_the_engine(terminal: Terminal) -> None:
    terminal.run("%px half = 0.5; boom = 1 / (engine_id - 1)")
    terminal.send("%pxdebug 1")
    terminal.child.expect_exact("[1] ipdb> ")
    terminal.send("p half * 2")
    terminal.child.expect_exact("1.0")
    terminal.child.expect_exact("[1] ipdb> ")
    terminal.send("q")
    terminal.prompt()
    assert "1.0" in terminal.run("%px 1.0")
