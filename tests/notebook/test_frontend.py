"""What a client in IPython shows, and whom it is shown to."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.settings import settings
from kernelfleet.notebook import frontend
from kernelfleet.notebook.frontend import IPythonFrontend
from kernelfleet.notebook.screens import DisplayFile
from tests.notebook.conftest import Shell

TERMINAL = SimpleNamespace()
SHOWN = SimpleNamespace(publish=lambda *_, **__: None)
NOTEBOOK = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True), display_pub=SHOWN)
#: A notebook that is executed by nbclient or papermill: it takes no input.
EXECUTED = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=False), display_pub=SHOWN)


@pytest.fixture(autouse=True)
def stderr_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))


def in_shell(monkeypatch: pytest.MonkeyPatch, shell: object) -> IPythonFrontend:
    monkeypatch.setattr(frontend, "running_shell", lambda: shell)
    return IPythonFrontend()


def test_a_notebook_is_watched_if_its_frontend_takes_input(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_shell(monkeypatch, NOTEBOOK).is_watched()
    assert not in_shell(monkeypatch, EXECUTED).is_watched()


def test_ipython_in_a_terminal_is_watched_if_stderr_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_shell(monkeypatch, TERMINAL).is_watched()
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    assert in_shell(monkeypatch, TERMINAL).is_watched()


@pytest.mark.parametrize(
    ("shell", "in_result", "shown"),
    [
        (NOTEBOOK, True, True),
        (NOTEBOOK, False, True),
        (EXECUTED, True, False),
        (EXECUTED, False, True),  # or what a map has printed would never be seen
        (TERMINAL, True, False),  # (its stderr is a file)
        (TERMINAL, False, False),
    ],
)
def test_outputs_are_shown_to_whoever_watches_and_where_they_would_be_lost(
    monkeypatch: pytest.MonkeyPatch, shell: object, in_result: bool, shown: bool
) -> None:
    live = in_shell(monkeypatch, shell).live_output(in_result=in_result)
    assert (live is not None) is shown


def test_live_output_can_be_switched_off_and_is_not_for_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    front = in_shell(monkeypatch, NOTEBOOK)
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(front.live_output(in_result=False)))
    thread.start()
    thread.join()
    assert found == [None]
    monkeypatch.setattr(settings, "live", False)
    assert front.live_output(in_result=True) is None
    assert front.live_output(in_result=False) is not None


def test_a_bar_is_a_display_in_a_notebook_and_on_stderr_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(in_shell(monkeypatch, NOTEBOOK).bar_file(), DisplayFile)
    assert in_shell(monkeypatch, TERMINAL).bar_file() is None


def test_a_client_that_is_made_in_a_shell_has_its_errors_shown_by_it(
    bare: Shell, mec: MultiEngineClient
) -> None:
    bare.ip.push({"mec": mec})
    assert "Exception Group Traceback" in bare.run("mec.execute('1/0', targets=0)")
    text = bare.run("view = mec.view(0)\nview.execute('1/0')")
    assert "[0:execute]: ZeroDivisionError: division by zero" in text
    assert "Exception Group Traceback" not in text


def test_a_client_that_is_made_in_a_shell_does_not_wait_for_magics_to_be_imported() -> None:
    code = (
        "import sys, kernelfleet\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from traitlets.config import Config\n"
        "InteractiveShell.instance(config=Config({'HistoryManager': {'enabled': False}}))\n"
        "from kernelfleet.client import frontend\n"
        "frontend.current().client_created()\n"
        "print(*[name for name in sys.modules if name.startswith('kernelfleet.notebook.')])"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert sorted(run.stdout.split()) == [
        f"kernelfleet.notebook.{name}" for name in ("failures", "frontend", "long_results")
    ], run.stderr
