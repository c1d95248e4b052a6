"""The progress bar of a call that takes long: engines or items done, elapsed time, laggards.

The bar appears after a second and is removed when the call ends; in a notebook a line is left that
says what was done. Short calls pay nothing, because nothing is imported or asked before. In a
notebook the bar is text that is updated in place: the widget of ``tqdm.auto`` would stay, frozen,
in the saved notebook.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol, Self

from kernelfleet.client import frontend
from kernelfleet.display.tables import cut, duration
from kernelfleet.errors.text import format_ids

SHOW_AFTER_SECONDS = 1.0
REFRESH_SECONDS = 0.25

#: Laggards are named if there are at most so many of them.
MAX_NAMED = 8

_FORMAT = "{desc}: {n_fmt}/{total_fmt} {unit} {bar:20} {elapsed}{postfix}"


class Call(Protocol):
    """A call that is waited for; a PendingResult is one."""

    @property
    def method(self) -> str:
        """The method that was called."""

    @property
    def progress(self) -> tuple[int, int]:
        """How many engines or items are done, and of how many."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the call has ended; False if it has not after ``timeout`` seconds."""

    def _ask_progress(self) -> dict[str, Any] | None:
        """Ask how far the call is; None if the controller does not say."""


def watch(pending: Call, timeout: float | None) -> None:
    """Wait until a call has ended or ``timeout`` seconds have passed, showing a bar meanwhile."""
    started = time.monotonic()
    first = SHOW_AFTER_SECONDS if timeout is None else min(SHOW_AFTER_SECONDS, timeout)
    if pending.wait(first) or first == timeout:
        return
    left = None if timeout is None else timeout - first
    if not (threading.current_thread() is threading.main_thread() and _is_watched()):
        pending.wait(left)
        return
    deadline = None if left is None else time.monotonic() + left
    with _Bar(pending.method, started) as bar:
        while True:
            # A bar without a total would say 0/0: there is none before it is known.
            bar.show(pending._ask_progress())
            if pending.wait(_patience(deadline)):
                bar.end(pending.progress)
                return
            if deadline is not None and time.monotonic() >= deadline:
                return


def _is_watched() -> bool:
    return frontend.current().is_watched()


def _patience(deadline: float | None) -> float:
    if deadline is None:
        return REFRESH_SECONDS
    return max(0.0, min(REFRESH_SECONDS, deadline - time.monotonic()))


class _Bar:
    """A bar that is drawn once there is something to show, and removed in the end.

    In a notebook a display cannot be removed, so a line that says what was done is left in it.
    """

    def __init__(self, method: str, started: float) -> None:
        self._method, self._started = method, started
        self._bar: Any = None
        self._file: frontend.BarFile | None = None
        self._unit = "engines"
        self._state = (0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._file is not None:
            self._file.finish(summary(self._method, *self._state, self._unit, self._elapsed))

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def show(self, progress: dict[str, Any] | None) -> None:
        """Draw how far it is; nothing if that is not known."""
        if progress is None or not progress["total"]:
            return
        self._unit = progress.get("unit", "engines")
        self._state = progress["done"], progress["total"]
        if self._bar is None:
            self._bar = self._make(progress["total"])
        self._bar.n, self._bar.total = self._state
        self._bar.unit = self._unit
        said = [text for text in (laggards(progress), waiting_behind(progress)) if text]
        self._bar.set_postfix_str(", ".join(said), refresh=False)
        self._bar.refresh()

    def end(self, state: tuple[int, int]) -> None:
        """Keep the last state for the line that is left."""
        self._state = state

    def _make(self, total: int) -> Any:
        # Not tqdm.auto, which decides once per process, and in notebooks makes a widget that stays
        # frozen in the saved file.
        from tqdm.std import tqdm

        options: dict[str, Any] = {"desc": self._method, "leave": False, "bar_format": _FORMAT}
        self._file = frontend.current().bar_file()
        if self._file is not None:
            options.update(file=self._file, ncols=80, ascii=False)
        else:
            options["dynamic_ncols"] = True
        # It draws itself as it is made; its clock cannot be set before.
        bar = tqdm(total=total, initial=self._state[0], unit=self._unit, **options)
        bar.start_t -= self._elapsed
        return bar


def summary(method: str, done: int, total: int, unit: str, seconds: float) -> str:
    """``map: 48 of 48 items done after 3 s``: what is left in a notebook of a call's live view."""
    unit = unit if total != 1 else unit.removesuffix("s")
    return f"{method}: {done} of {total} {unit} done after {duration(seconds)}"


def waiting_behind(progress: dict[str, Any]) -> str:
    """``0-1 wait for execute('f()') of another client``; empty once every engine has begun."""
    waiting: dict[tuple[str, bool], list[int]] = {}
    for each in progress.get("behind", ()):
        waiting.setdefault((each["running"], each["mine"]), []).append(each["engine"])
    return ", ".join(
        f"{format_ids(ids)} {'waits' if len(ids) == 1 else 'wait'} for {cut(running)} of "
        f"{'this' if mine else 'another'} client"
        for (running, mine), ids in waiting.items()
    )


def bar_line(method: str, progress: dict[str, Any], elapsed: float) -> str:
    """The bar as a line of text, for a view that draws it itself."""
    from tqdm.std import tqdm

    line = tqdm.format_meter(
        progress["done"], progress["total"], elapsed, prefix=method, ncols=80,
        unit=progress.get("unit", "engines"), bar_format=_FORMAT, postfix=laggards(progress),
    )  # fmt: skip
    return str(line).rstrip()


def expired(method: str, timeout: float | None, progress: dict[str, Any] | None) -> str:
    """What a CallTimeout says: how far the call is, and that the work goes on."""
    text = f"{method} has not ended after {timeout:g} s"
    if progress is None:
        return text + "; the work goes on"
    unit, left = progress.get("unit", "engines"), progress.get("left")
    names = f" (on {format_ids(left)})" if left and progress["done"] else ""
    return (
        f"{text}: {progress['done']} of {progress['total']} {unit} are done; "
        f"the work goes on{names}, see .pending_result"
    )


def laggards(progress: dict[str, Any]) -> str:
    """``waiting for 1,3``; empty before any engine is done, and if many are left."""
    left = progress.get("left", ())
    if not left or not progress["done"] or len(left) > MAX_NAMED:
        return ""
    return f"waiting for {format_ids(left)}"
