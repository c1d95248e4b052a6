"""The live view of one call: what it shows meanwhile, and what is left."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from kernelfleet import CallTimeout, MultiEngineClient
from kernelfleet.notebook.layout import Block, Text
from kernelfleet.notebook.running import View, start
from tests.gate import Gate


class Screen:
    """Remembers what it is given; ``seen`` is set by a live view that has a text."""

    def __init__(self, *, permanent: bool = False, height: int = 12, wanted: str = "") -> None:
        self.permanent, self.height, self._wanted = permanent, height, wanted
        self.views: list[list[str]] = []
        self.said: list[str] = []
        self.final: Sequence[Block] | None = None
        self.seen = threading.Event()

    def live(self, lines: Sequence[str]) -> None:
        self.views.append(list(lines))
        if self._wanted in "\n".join(lines):
            self.seen.set()

    def say(self, lines: Sequence[str]) -> None:
        self.said.extend(lines)

    def finish(self, blocks: Sequence[Block]) -> None:
        self.final = blocks


def test_a_short_call_has_no_live_view(mec: MultiEngineClient) -> None:
    screen = Screen()
    view = View(mec, screen, status=True, collapse=True)
    pending = start(mec, "print('x')", [0, 1], view, allow_stdin=False)
    mec._wait(pending, None, view.follow)
    view.finish(pending)
    assert screen.views == []
    assert screen.final == [Text(["[0-1] x"])]


def test_lines_and_state_are_shown_while_it_runs(mec: MultiEngineClient, gate: Gate) -> None:
    screen = Screen(wanted="1 of 2 engines done, waiting for 1 (")
    view = View(mec, screen, status=True, collapse=True)
    code = f"print('hello', engine_id)\nif engine_id: {gate.code}"
    pending = start(mec, code, [0, 1], view, allow_stdin=False)
    view.follow_alone(pending)
    assert screen.seen.wait(20)
    assert screen.views[0][:2] == ["[0] hello 0", "[1] hello 1"]
    gate.open()
    pending.result(20)


def test_a_chatty_engine_is_shown_by_its_last_lines(mec: MultiEngineClient, gate: Gate) -> None:
    screen = Screen(height=5, wanted="[0] 999")
    view = View(mec, screen, status=False, collapse=True)
    code = f"for i in range(1000): print(i)\n{gate.code}"
    pending = start(mec, code, [0], view, allow_stdin=False)
    view.follow_alone(pending)
    assert screen.seen.wait(20)
    assert screen.views[-1] == ["[0] ... 995 more lines above"] + [
        f"[0] {i}" for i in range(995, 1000)
    ]
    gate.open()
    pending.result(20)


def test_what_has_come_stays_when_time_is_up(mec: MultiEngineClient, gate: Gate) -> None:
    screen = Screen()
    view = View(mec, screen, status=False, collapse=True)
    pending = start(mec, f"print('early', flush=True)\n{gate.code}", [0], view, allow_stdin=False)
    gate.entered()
    with pytest.raises(CallTimeout, match="0 of 1 engines are done"):
        mec._wait(pending, 0.3, view.follow)
    view.finish(pending)
    assert screen.final == [Text(["[0] early"])]
    gate.open()
    pending.result(20)


def test_a_result_that_shows_itself_leaves_nothing_here(mec: MultiEngineClient) -> None:
    screen = Screen()
    view = View(mec, screen, status=False, collapse=True)
    pending = start(mec, "print('x')", [0], view, allow_stdin=False)
    mec._wait(pending, None, view.follow)
    view.finish(pending, show=False)
    assert screen.final == []


def test_a_screen_for_good_gets_every_line_once(mec: MultiEngineClient, gate: Gate) -> None:
    screen = Screen(permanent=True, wanted="0 of 1")
    view = View(mec, screen, status=True, collapse=True)
    code = f"print('a')\nprint('b', end='', flush=True)\n{gate.code}\nprint('c')\n42"
    pending = start(mec, code, [0], view, allow_stdin=False)
    view.follow_alone(pending)
    assert screen.seen.wait(20)
    assert screen.said == ["[0] a"]
    gate.open()
    pending.result(20)
    for thread in threading.enumerate():
        if thread.name == "kernelfleet-view":
            thread.join(20)
    assert screen.said == ["[0] a", "[0] bc", "[0] 42"]
    assert screen.final == []
