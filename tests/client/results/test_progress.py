"""The bar of calls that take long: when it appears, what it says, that it goes."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from kernelfleet import CallTimeout, MultiEngineClient
from kernelfleet.client.results import progress
from kernelfleet.client.settings import settings
from tests.gate import Gate


class Terminal(io.StringIO):
    """A stderr with somebody behind it; calls ``opens`` when it has shown all of ``awaits``."""

    def __init__(self) -> None:
        super().__init__()
        self.awaits: tuple[str, ...] = ()
        self.opens: Callable[[], object] = list

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        count = super().write(text)
        if self.awaits and all(each in self.getvalue() for each in self.awaits):
            self.awaits = ()
            self.opens()
        return count


@pytest.fixture
def transport() -> str:
    return "embedded"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setattr(progress, "SHOW_AFTER_SECONDS", 0.05)
    # readline, which some versions of pytest load, tells the processes of pytest-xdist of 80
    # columns, to which tqdm would cut a line.
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    shown = Terminal()
    yield shown
    print(repr(shown.getvalue()))  # for whoever reads why a test has failed


def shown_at_the_end(terminal: Terminal) -> str:
    """What is left on the line after all returns."""
    return terminal.getvalue().rpartition("\r")[2]


def test_engines_done_and_who_lags_are_shown_and_gone_in_the_end(
    mec: MultiEngineClient, gate: Gate, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    terminal.awaits, terminal.opens = ("execute: 3/4 engines",), gate.open
    mec.execute(f"if engine_id == 2: {gate.code}", timeout=30)
    assert "waiting for 2" in terminal.getvalue()
    assert shown_at_the_end(terminal) == ""


def test_items_of_a_map_are_counted(
    mec: MultiEngineClient, gate: Gate, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    terminal.awaits, terminal.opens = ("map: 3/4 items",), gate.open
    code = f"lambda x: {gate.code} if x == 3 else x"
    mec.map(code, range(4), chunksize=1, timeout=30)
    assert shown_at_the_end(terminal) == ""


@pytest.mark.parametrize("switch", ["argument", "client", "setting", "thread", "nobody"])
def test_it_can_be_switched_off_and_is_off_where_nobody_looks(
    mec: MultiEngineClient, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    def run(**options: bool) -> None:
        mec.execute("import time; time.sleep(0.4)", targets=0, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(sys, "stderr", terminal)
    if switch == "argument":
        run(progress=False)
    elif switch == "client":
        mec.progress = False
        assert mec.view(0).progress is False
        run()
    elif switch == "setting":
        monkeypatch.setattr(settings, "progress", False)
        run()
    elif switch == "thread":
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    else:
        monkeypatch.setattr(terminal, "isatty", lambda: False)
        run()
    assert terminal.getvalue() == ""


def test_a_pending_result_shows_it_when_asked(
    mec: MultiEngineClient, gate: Gate, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    terminal.awaits, terminal.opens = ("execute: 0/4 engines",), gate.open
    pending = mec.execute(gate.code, block=False)
    assert pending.wait(30, progress=True)
    assert shown_at_the_end(terminal) == ""


def test_a_timeout_holds_with_a_bar_too(
    mec: MultiEngineClient, gate: Gate, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(CallTimeout, match=r"after 0\.5 s: 0 of 4 engines"):
        mec.execute(gate.code, timeout=0.5)
    assert "execute: 0/4" in terminal.getvalue()
    gate.open()
    mec.barrier()


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_the_switch_is_a_bool(mec: MultiEngineClient, value: object) -> None:
    with pytest.raises(ValueError, match="progress must be True or False"):
        mec.progress = value  # type: ignore[assignment]


def test_a_bar_never_says_nothing_of_nothing(
    mec: MultiEngineClient, gate: Gate, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    terminal.awaits, terminal.opens = ("map: 0/4 items",), gate.open
    mec.map(f"lambda x: {gate.code}", range(4), chunksize=1, timeout=30)
    assert "0/0" not in terminal.getvalue()
    assert "?" not in terminal.getvalue()


def test_what_waits_behind_other_work_says_so(
    mec: MultiEngineClient,
    connect: Callable[[], MultiEngineClient],
    gate: Gate,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = connect()
    before = other.execute(gate.code, targets=[1, 2], block=False)
    gate.entered(2)
    monkeypatch.setattr(sys, "stderr", terminal)
    terminal.awaits = ("push: 2/4 engines", "1-2 wait for execute(", "of another client")
    terminal.opens = gate.open
    mec.push({"x": 1}, timeout=30)
    assert "push: 2/4 engines" in terminal.getvalue()
    assert "1-2 wait for execute(" in terminal.getvalue()
    before.wait(30)


def test_whose_work_is_waited_for_is_told() -> None:
    behind = [
        {"engine": 0, "running": "execute('a')", "mine": True},
        {"engine": 2, "running": "map(f)", "mine": False},
        {"engine": 3, "running": "map(f)", "mine": False},
    ]
    assert progress.waiting_behind({"behind": behind}) == (
        "0 waits for execute('a') of this client, 2-3 wait for map(f) of another client"
    )
    assert progress.waiting_behind({"done": 0}) == ""


def test_a_summary_is_a_line_with_its_units() -> None:
    assert progress.summary("map", 3, 48, "items", 61) == "map: 3 of 48 items done after 1 min 1 s"
    assert progress.summary("push", 1, 1, "engines", 2.6) == "push: 1 of 1 engine done after 2 s"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"done": 1, "total": 3, "left": [0, 2]}, "waiting for 0,2"),
        ({"done": 0, "total": 2, "left": [0, 1]}, ""),
        ({"done": 1, "total": 99, "left": list(range(98))}, ""),
        ({"done": 5, "total": 9}, ""),
    ],
)
def test_laggards_are_named_when_they_are_few(state: dict[str, object], text: str) -> None:
    assert progress.laggards(state) == text


def test_a_timeout_says_how_far_the_call_was() -> None:
    text = progress.expired("map", 3, {"done": 2, "total": 5, "unit": "items"})
    assert text == (
        "map has not ended after 3 s: 2 of 5 items are done; the work goes on, see .pending_result"
    )
    some = {"done": 1, "total": 3, "left": [0, 2]}
    assert "1 of 3 engines are done; the work goes on (on 0,2)" in progress.expired("x", 1, some)
    assert progress.expired("x", 0.5, None) == "x has not ended after 0.5 s; the work goes on"


def test_a_bar_can_be_a_line_of_text() -> None:
    line = progress.bar_line("map", {"done": 1, "total": 4, "unit": "items"}, 65.0)
    assert line.startswith("map: 1/4 items")
    assert line.endswith("01:05")
