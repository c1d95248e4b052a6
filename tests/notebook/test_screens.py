"""Where things are shown: displays of a notebook, lines of a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest

from kernelfleet.display.bundle import MIME_TYPE
from kernelfleet.display.layout import Grid, Picture, Rich, Text
from kernelfleet.notebook.screens import DisplayFile, NoScreen, NotebookScreen, TerminalScreen

PICTURE = Picture([1], "image/png", "AAAA", "<Figure>", {})


class Page:
    """Stands in for a notebook's shell: what is displayed, by display id, in order."""

    def __init__(self) -> None:
        self.display_pub = self
        self.outputs: dict[str, Any] = {}
        self.updates = 0
        self.parent: Any = {}

    def get_parent(self) -> Any:
        return self.parent

    def publish(
        self, data: Any, metadata: Any = None, *, transient: Any = None, update: bool = False
    ) -> None:
        key = (transient or {}).get("display_id", f"#{len(self.outputs)}")
        assert update == (key in self.outputs)
        self.updates += update
        self.outputs[key] = data

    @property
    def texts(self) -> list[str]:
        return [data["text/plain"] for data in self.outputs.values()]


def test_the_final_form_takes_the_place_of_the_live_view() -> None:
    page = Page()
    screen = NotebookScreen(page)
    screen.live(["[0] a"])
    screen.live(["[0] a", "[0] b"])
    screen.live(["[0] a", "[0] b"])
    assert page.updates == 1
    screen.finish([Text(["[0-1] a"]), Grid([PICTURE])])
    assert page.texts == ["[0-1] a", "[1] <Figure>"]


def test_a_call_that_shows_nothing_leaves_a_summary_of_its_view_or_nothing_at_all() -> None:
    page = Page()
    screen = NotebookScreen(page)
    screen.finish([], "never shown")
    assert page.texts == []
    screen.live(["x"])
    screen.finish([], "2 of 2 engines done")
    assert page.texts == ["2 of 2 engines done"]


def test_a_loop_of_calls_that_show_nothing_leaves_one_summary_for_each_cell() -> None:
    page = Page()
    for cell in ("first", "second"):
        page.parent = {"header": {"msg_id": cell}}
        for turn in range(3):
            screen = NotebookScreen(page)
            screen.live(["x"])
            screen.finish([], f"{cell} {turn}")
    assert page.texts == ["first 2", "second 2"]


def test_a_view_with_a_final_form_is_not_used_again() -> None:
    page = Page()
    page.parent = {"header": {"msg_id": "cell"}}
    for turn in range(2):
        screen = NotebookScreen(page)
        screen.live(["x"])
        screen.finish([Text([f"[0] {turn}"])])
    assert page.texts == ["[0] 0", "[0] 1"]


def test_what_ends_in_another_cell_is_all_in_one_display() -> None:
    page = Page()
    screen = NotebookScreen(page, detached=True)
    screen.live(["running"])
    screen.finish(
        [Text(["[0] a"]), Rich([0], {"text/plain": "T", "text/html": "<i/>"}, {}), Grid([PICTURE])]
    )
    ((data),) = page.outputs.values()
    assert data["text/plain"] == "[0] a\nT\n[1] <Figure>"
    assert "<img" in data["text/html"]


def test_a_file_for_a_bar_shows_its_last_line_and_a_summary_in_the_end() -> None:
    page = Page()
    file = DisplayFile(page)
    file.write("")
    assert page.texts == []
    for text in ("\rmap: 1/2", "\rmap: 2/2", "\r          \r"):
        file.write(text)
        file.flush()
    assert page.texts == ["map: 2/2"]
    file.finish("map: 2 of 2 items done after 1 s")
    assert page.texts == ["map: 2 of 2 items done after 1 s"]


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminals_live_lines_are_wiped_before_anything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Tty()
    monkeypatch.setattr("sys.stdout", out)
    screen = TerminalScreen(permanent=True)
    screen.live(["1 of 2 done", "x" * 1000])
    screen.say(["[0] a"])
    screen.live(["2 of 2 done"])
    screen.finish([Text(["[1] b"])])
    first, *rest = out.getvalue().split("\x1b[2A\x1b[J")
    assert all(len(line) < 200 for line in first.splitlines())
    assert rest == ["[0] a\n2 of 2 done\n\x1b[1A\x1b[J[1] b\n"]


def test_output_that_goes_to_a_file_has_no_live_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    screen = TerminalScreen(permanent=True)
    screen.live(["1 of 2 done"])
    screen.say(["[0] a"])
    screen.finish([Grid([PICTURE]), Rich([0], {"text/plain": "x\ny"}, {})])
    assert out.getvalue() == "[0] a\n[1] <Figure>\nx\ny\n"


def test_no_screen_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    screen = NoScreen()
    screen.live(["a"])
    screen.say(["b"])
    screen.finish([Text(["c"])])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("detached", [False, True])
def test_outputs_that_differ_take_one_display_with_tabs_for_who_has_them(detached: bool) -> None:
    page = Page()
    screen = NotebookScreen(page, detached=detached)
    screen.live(["running"])
    outputs = [
        (engine, [{"output_type": "stream", "name": "stdout", "text": f"{engine}\n"}])
        for engine in (0, 1)
    ]
    screen.finish([Text(["[0] 0", "[1] 1"])], outputs=outputs)
    (data,) = page.outputs.values()
    assert data["text/plain"] == "[0] 0\n[1] 1"
    assert [each["engine"] for each in data[MIME_TYPE]["engines"]] == [0, 1]
