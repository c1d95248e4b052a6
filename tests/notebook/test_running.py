"""The live view of one call: what it shows meanwhile, and what is left."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence

import pytest

from kernelfleet import CallTimeout, CompositeError, MultiEngineClient
from kernelfleet.client.frontend import PlainFrontend
from kernelfleet.display.layout import Block, Text
from kernelfleet.notebook.frontend import LiveOutput
from kernelfleet.notebook.running import View, start
from kernelfleet.notebook.screens import Outputs
from tests.fleets import eventually
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

    def place(self, _client: object) -> None:
        return None

    def say(self, lines: Sequence[str]) -> None:
        self.said.extend(lines)

    def finish(self, blocks: Sequence[Block], summary: str = "", outputs: Outputs = ()) -> None:
        self.final, self.summary = blocks, summary


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


def test_a_call_that_nobody_waits_for_and_that_fails_says_so_in_its_final_form(
    mec: MultiEngineClient,
) -> None:
    screen = Screen()
    view = View(mec, screen, status=True, collapse=True)
    pending = start(mec, "print('x')\n1 / 0", [0, 1], view, allow_stdin=False)
    view.follow_alone(pending)
    eventually(lambda: screen.final is not None)
    failed = Text(["[0-1:execute]: ZeroDivisionError: division by zero"])
    assert screen.final == [Text(["[0-1] x"]), failed]


def test_a_cell_that_waits_behind_another_clients_work_says_so(
    mec: MultiEngineClient, connect: Callable[[], MultiEngineClient], gate: Gate
) -> None:
    before = connect().execute(gate.code, targets=[0, 1], block=False)
    gate.entered(2)
    screen = Screen(wanted="of another client")
    view = View(mec, screen, status=True, collapse=True)
    pending = start(mec, "1", [0, 1, 2], view, allow_stdin=False)
    view.follow_alone(pending)
    assert screen.seen.wait(20)
    assert screen.views[-1][-1].startswith(
        "1 of 3 engines done, waiting for 0-1, 0-1 wait for execute("
    )
    gate.open()
    pending.result(20)
    before.wait(20)


def test_frames_of_an_engine_that_clears_its_output_are_not_printed_for_good(
    mec: MultiEngineClient, gate: Gate
) -> None:
    screen = Screen(permanent=True, wanted="frame 2")
    view = View(mec, screen, status=False, collapse=True)
    code = (
        "from IPython.display import clear_output\n"
        "for i in range(3):\n    clear_output(wait=True)\n    print('frame', i, flush=True)\n"
        f"{gate.code}"
    )
    pending = start(mec, code, [0], view, allow_stdin=False)
    view.follow_alone(pending)
    assert screen.seen.wait(20)
    assert screen.said == []
    assert screen.views[-1] == ["[0] frame 2"]
    gate.open()
    pending.result(20)
    for thread in threading.enumerate():
        if thread.name == "kernelfleet-view":
            thread.join(20)
    assert screen.said == ["[0] frame 2"]


def test_a_view_without_final_form_leaves_a_summary(mec: MultiEngineClient, gate: Gate) -> None:
    screen = Screen(wanted="0 of 2 engines done")
    view = View(mec, screen, status=True, collapse=True)
    pending = start(mec, gate.code, [0, 1], view, allow_stdin=False)
    gate.entered(2)
    threading.Timer(1.3, gate.open).start()
    mec._wait(pending, None, view.follow)
    view.finish(pending)
    assert screen.final == []
    assert re.fullmatch(r"execute: 2 of 2 engines done after \d+ s", screen.summary)


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
    assert screen.said == ["[0] a", "[0] bc", "[0] Out[1]: 42"]
    assert screen.final == []


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Where a blocking map or apply is shown, as if somebody watched."""

    class Watched(PlainFrontend):
        def live_output(self, *, in_result: bool) -> LiveOutput:
            return LiveOutput(None, live=True, in_result=in_result)

    screen = Screen(wanted="items")
    monkeypatch.setattr("kernelfleet.client.frontend.current", Watched)
    monkeypatch.setattr("kernelfleet.notebook.screens.screen_of", lambda *_, **__: screen)
    return screen


def speak(text: str) -> int:
    import sys

    print("said", text)
    print("warned", text, file=sys.stderr)
    return len(text)


def final_lines(screen: Screen) -> list[str]:
    """Sorted: which of two streams comes first is not told."""
    assert screen.final is not None
    return sorted(line for block in screen.final if isinstance(block, Text) for line in block.lines)


def test_a_blocking_map_shows_what_its_items_put_out(
    mec: MultiEngineClient, screen: Screen
) -> None:
    assert mec.map(speak, ["a", "bb"], targets=0) == [1, 2]
    assert final_lines(screen) == [
        "[0 stderr] warned a", "[0 stderr] warned bb", "[0] said a", "[0] said bb",
    ]  # fmt: skip
    assert mec.parallel(targets=0)(speak)(["c"]) == [1]
    assert final_lines(screen) == ["[0 stderr] warned c", "[0] said c"]


def test_a_blocking_apply_shows_what_its_function_puts_out(
    mec: MultiEngineClient, screen: Screen
) -> None:
    assert mec.apply(speak, "a", targets=[0, 1]) == [1, 1]
    assert final_lines(screen) == ["[0-1 stderr] warned a", "[0-1] said a"]
    with pytest.raises(CompositeError):
        mec.apply("{}".format, targets=0)
    assert screen.final == []


def test_calls_that_do_not_block_show_nothing_here(mec: MultiEngineClient, screen: Screen) -> None:
    assert mec.map(speak, ["a"], block=False).r == [1]
    assert mec.apply(speak, "a", targets=0, block=False).r == [1]
    assert screen.final is None


def test_a_running_map_shows_lines_and_how_far_it_is(
    mec: MultiEngineClient, screen: Screen, gate: Gate
) -> None:
    def go_on() -> None:
        assert screen.seen.wait(20)
        gate.open()

    other = threading.Thread(target=go_on)
    other.start()
    # (mapped as text: there is nothing of this module on an engine)
    code = f"lambda i: (print('item', i, flush=True), i and {gate.code})[0]"
    mec.map(code, [0, 1], targets=0, chunksize=1)
    other.join(20)
    assert screen.views[-1][:2] == ["[0] item 0", "[0] item 1"]
    assert screen.views[-1][-1].startswith("map: 1/2 items")
    assert screen.final == [Text(["[0] item 0", "[0] item 1"])]
