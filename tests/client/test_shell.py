"""Where a client runs, and what it does about it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from kernelfleet.client import shell


def test_without_ipython_there_is_no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert shell.running_shell() is None
    shell.greet_shell()


def test_a_shell_that_nobody_made_the_instance_is_found_while_it_runs_a_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert shell.running_shell() is None
    own = object()
    monkeypatch.setattr("builtins.get_ipython", lambda: own, raising=False)
    assert shell.running_shell() is own


def test_a_notebook_is_watched_if_its_frontend_takes_input(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = SimpleNamespace(_allow_stdin=False)
    monkeypatch.setattr(shell, "running_shell", lambda: SimpleNamespace(kernel=kernel))
    assert not shell.somebody_watches()
    kernel._allow_stdin = True
    assert shell.somebody_watches()


def test_a_script_is_watched_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "running_shell", lambda: None)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    assert shell.somebody_watches()
    monkeypatch.setattr(sys, "stderr", None)
    assert not shell.somebody_watches()
