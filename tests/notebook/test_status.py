"""The table of ``%fleet status``."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from jupyter_client.manager import KernelManager

from kernelfleet import MultiEngineClient
from kernelfleet.display import tables
from kernelfleet.notebook import status as status_module
from kernelfleet.notebook.status import Status, top
from tests.notebook.conftest import Shell
from tests.notebook.widgets.page import Page


def test_each_engine_has_a_row_in_text_and_in_html_with_the_columns_of_all(
    mec: MultiEngineClient,
) -> None:
    mec.execute("1", targets=0)
    status = Status(mec)
    header, *rows = repr(status).splitlines()
    shown = [column.name for column in tables.COLUMNS]
    absent = ("node", "result id", "running")
    assert header.split() == [name for name in shown if name not in absent]
    assert [row.split()[:2] for row in rows] == [[str(i), "idle"] for i in range(4)]
    drawn = status._repr_html_()
    assert drawn.count("<tr>") == 5
    assert "<b>4 engines</b> of fleet" in drawn
    assert "CPU" in drawn


def test_where_nobody_watches_the_page_is_shown_once(shell: Shell, mec: MultiEngineClient) -> None:
    mec.execute("1", targets=0)
    shown = shell.run("%fleet top")
    assert shown.startswith("Fleet ")
    assert "4 engines, 0 busy" in shown
    assert shown.count("last 1 min") == 1


def test_a_page_is_shown_until_ctrl_c_and_then_stays(
    shell: Shell, mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    looks: list[float] = []

    def press_ctrl_c(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", press_ctrl_c)
    top(mec, shell.ip, watched=True, seconds=None)
    monkeypatch.undo()
    assert "4 engines, 0 busy" in capsys.readouterr().out
    assert len(looks) == 4


def test_a_page_ends_by_itself_after_some_seconds(
    shell: Shell, mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "INTERVAL_SECONDS", 0.01)
    began = time.monotonic()
    top(mec, shell.ip, watched=True, seconds=0.05)
    assert time.monotonic() - began < 10


class NotebookShell:
    """A shell whose front end says that somebody sits there."""

    def __init__(self) -> None:
        self.kernel = SimpleNamespace(_allow_stdin=True)
        self.shown: list[str] = []
        self.display_pub = SimpleNamespace(publish=self.publish)

    def publish(self, data: dict[str, str], *_: object, **__: object) -> None:
        self.shown.append(data["text/plain"])


def test_a_page_that_nobody_stops_ends_by_itself_in_a_notebook_and_says_how_to_watch_longer(
    mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(status_module, "NOTEBOOK_SECONDS", 0.4)
    shell = NotebookShell()
    top(mec, shell, watched=True, seconds=None)
    assert "4 engines" in shell.shown[-1]
    assert shell.shown[-1].endswith("(after 0.4 s; %fleet top --for SECONDS watches longer)")
    shell = NotebookShell()
    top(mec, shell, watched=True, seconds=0.3)
    assert "watches longer" not in shell.shown[-1]


@pytest.mark.slow
def test_the_stop_button_ends_a_page_without_an_error() -> None:
    kernel = KernelManager(kernel_name="python3")
    kernel.start_kernel()
    try:
        page = Page(kernel)
        page.run("%load_ext kernelfleet\n%fleet start -n 1")
        cell = page.start("%fleet top")
        page.wait(lambda: "1 engine" in cell.text, "the first page")
        kernel.interrupt_kernel()
        page.wait(lambda: cell.is_done, "the end of the page")
        assert "1 engine" in cell.text
        assert "Traceback" not in cell.text
        page.run("%fleet stop")
        page.close()
    finally:
        kernel.shutdown_kernel(now=True)
