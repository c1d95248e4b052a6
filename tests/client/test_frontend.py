"""Which front end serves a client, and what a plain script's does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.client import frontend
from kernelfleet.client.frontend import PlainFrontend
from kernelfleet.errors import FleetError


class InIPython(PlainFrontend):
    """Stands for the front end of the notebook side."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[InIPython]]:
    """The front ends for IPython that were made; this test offers them."""
    made: list[InIPython] = []

    def make() -> InIPython:
        made.append(InIPython())
        return made[-1]

    before = frontend._Known.make_for_ipython
    assert before is not None, "the package offers its front end for IPython"
    frontend.offer(make)
    yield made
    frontend.offer(before)


def set_shell(monkeypatch: pytest.MonkeyPatch, shell: Any) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def test_without_ipython_there_is_no_shell_and_the_front_end_is_plain(
    monkeypatch: pytest.MonkeyPatch, made: list[InIPython]
) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert frontend.running_shell() is None
    assert type(frontend.current()) is PlainFrontend
    assert made == []


def test_the_front_end_for_ipython_is_made_once_and_serves_while_a_shell_runs(
    monkeypatch: pytest.MonkeyPatch, made: list[InIPython]
) -> None:
    set_shell(monkeypatch, None)
    assert type(frontend.current()) is PlainFrontend
    set_shell(monkeypatch, object())  # as by IPython.embed(), when the client is long there
    assert frontend.current() is frontend.current() is made[0]
    assert len(made) == 1
    set_shell(monkeypatch, None)
    assert type(frontend.current()) is PlainFrontend
    assert frontend.current(object()) is made[0]  # for a shell that does not run yet


def test_a_shell_that_nobody_made_the_instance_is_found_while_it_runs_a_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_shell(monkeypatch, None)
    assert frontend.running_shell() is None
    own = object()
    monkeypatch.setattr("builtins.get_ipython", lambda: own, raising=False)
    assert frontend.running_shell() is own


def test_a_script_is_watched_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PlainFrontend()
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    assert plain.is_watched()
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    assert not plain.is_watched()
    monkeypatch.setattr(sys, "stderr", None)
    assert not plain.is_watched()


def test_a_script_shows_no_live_output_has_bars_on_stderr_and_no_magics() -> None:
    plain = PlainFrontend()
    plain.client_created()
    assert plain.live_output(in_result=False) is None
    assert plain.bar_file() is None
    with pytest.raises(FleetError, match="none is running here"):
        plain.activate(object(), "", None)


def test_a_notebook_is_told_from_a_terminal_by_its_kernel() -> None:
    assert frontend.is_notebook(SimpleNamespace(kernel=object()))
    assert not frontend.is_notebook(SimpleNamespace(kernel=None))
    assert not frontend.is_notebook(None)
