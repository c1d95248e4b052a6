"""Shows a call while it runs: its live view, the questions of its code, and its final form.

::

    kernelfleet's thread --feed--> queue --follow, ten times a second--> Transcripts --> Screen

``follow`` runs in the thread that waits, so that what it shows is below the right cell. For calls
that nobody waits for it runs in a thread of its own. The final form is made from the result, which
is complete, while the live view keeps only the last lines.
"""

from __future__ import annotations

import builtins
import getpass
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kernelfleet.client import access
from kernelfleet.client.comms import values_of
from kernelfleet.client.results.progress import (
    bar_line,
    laggards,
    summary,
    waiting_behind,
)
from kernelfleet.display import layout
from kernelfleet.display.tables import duration
from kernelfleet.display.transcript import Line, Transcript
from kernelfleet.errors.composite import CompositeError
from kernelfleet.errors.tree import FleetError
from kernelfleet.notebook.screens import Screen
from kernelfleet.notebook.widgets.still import with_progress
from kernelfleet.session import ctrl_c
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import WIDGET_VIEW

if TYPE_CHECKING:
    from kernelfleet.client.base import BaseClient
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.frontend import Begin
    from kernelfleet.client.results.pending import PendingResult


#: A call that ends earlier shows only its final form.
LIVE_AFTER_SECONDS = 0.5
#: The live view is changed at most so often.
REFRESH_SECONDS = 0.1
#: How often the controller is asked how many engines are done, and when for the first time.
STATUS_SECONDS = 1.0
#: How long the controller may take to pass on what the user has typed.
ANSWER_SECONDS = 5.0


class View:
    """The live view of one call.

    Args:
        client: The client that makes the call.
        screen: Where the call is shown.
        status: Whether to show how many engines are done.
        collapse: Whether the final form shows identical outputs of several engines once.
    """

    def __init__(self, client: BaseClient, screen: Screen, *, status: bool, collapse: bool) -> None:
        self._client, self._screen = client, screen
        self._wants_status, self._collapse = status, collapse
        self._news: deque[tuple[int, str, JsonDict]] = deque()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._over = False
        self._started = time.monotonic()
        self._transcripts: dict[int, Transcript] = {}
        self._questions: deque[tuple[int, JsonDict]] = deque()
        self._status = ""
        self._begun = False
        self._dirty = False
        self._is_finished = False
        self._unit = "engines"
        #: Whether code has asked for input. Then all earlier lines stay above the question.
        self._talking = False
        self._place = screen.place(client)

    def feed(self, engine_id: int, msg_type: str, content: JsonDict) -> None:
        """Take an output message. This is called on kernelfleet's own thread."""
        if self._is_finished:  # (the call goes on, but is no longer followed)
            return
        self._news.append((engine_id, msg_type, content))
        if msg_type == "input_request":
            self._wake.put(None)

    def _end(self) -> None:
        self._over = True
        self._wake.put(None)

    # -- in the thread that waits ---------------------------------------------------------------

    def follow(self, pending: PendingResult[Any], timeout: float | None) -> None:
        """Show the call until it has ended or ``timeout`` seconds have passed."""
        with ctrl_c.kept():
            self._follow(pending, timeout)

    def _follow(self, pending: PendingResult[Any], timeout: float | None) -> None:
        pending.add_done_callback(lambda _: self._end())
        started = time.monotonic()
        deadline = None if timeout is None else started + timeout
        next_status = started + STATUS_SECONDS
        while True:
            with suppress(queue.Empty):
                self._wake.get(timeout=self._patience(deadline))
            over = self._over
            self._drain()
            now = time.monotonic()
            if over or (deadline is not None and now >= deadline):
                return
            self._answer(pending)
            if self._wants_status and now >= next_status:
                self._note_status(pending, now - started)
                next_status = time.monotonic() + STATUS_SECONDS
            if now - started >= LIVE_AFTER_SECONDS:
                self._show()

    @staticmethod
    def _patience(deadline: float | None) -> float:
        if deadline is None:
            return REFRESH_SECONDS
        return max(0.0, min(REFRESH_SECONDS, deadline - time.monotonic()))

    def follow_alone(self, pending: PendingResult[Any]) -> None:
        """Show a call that nobody waits for, from a thread that this method starts."""
        self._begun = True

        def work() -> None:
            self.follow(pending, None)
            self.finish(pending, failed=_failure_lines(pending))

        threading.Thread(target=work, name="kernelfleet-view", daemon=True).start()

    def finish(
        self, pending: PendingResult[Any], *, show: bool = True, failed: Sequence[str] = ()
    ) -> None:
        """Replace the live view by the final form.

        Args:
            pending: The call. If it has not ended, the lines that have come so far are kept.
            show: Whether its outputs are shown here; False if its result shows them.
            failed: Lines that say what has failed, if no error is raised that would say it.
        """
        self._is_finished = True
        self._drain()
        self._status = ""
        if self._place is not None:
            self._place.finish()
        blocks: list[layout.Block] = []
        outputs: Sequence[tuple[int, list[JsonDict]]] = ()
        if self._screen.permanent and self._begun:
            self._screen.say([*self._finished_lines(last=True), *failed])
            failed = ()
        elif show and pending.done() and not self._talking:
            found = self._not_live(pending)
            blocks = layout.arrange(found, collapse=self._collapse)
            outputs = found if self._collapse else ()
        elif show and (lines := self._tail(layout.MAX_LINES)):
            blocks = [layout.Text(lines)]
        if failed:
            blocks = [*blocks, layout.Text(list(failed))]
        self._screen.finish(blocks, self._summary(pending), outputs)

    def _summary(self, pending: PendingResult[Any]) -> str:
        """The line that replaces a live view if there is no final form."""
        if not self._begun and not self._talking:
            return ""  # (no live view was shown)
        elapsed = time.monotonic() - self._started
        return summary(pending.method, *pending.progress, self._unit, elapsed)

    def _drain(self) -> None:
        while self._news:
            engine_id, msg_type, content = self._news.popleft()
            if msg_type == "input_request":
                self._questions.append((engine_id, content))
                continue
            if self._place is not None and self._place.take(engine_id, msg_type, content):
                continue
            self._dirty = True
            if engine_id not in self._transcripts:
                self._transcripts[engine_id] = Transcript(collect=self._screen.permanent)
            self._transcripts[engine_id].add(msg_type, content)

    def _not_live(self, pending: PendingResult[Any]) -> list[tuple[int, list[JsonDict]]]:
        """The outputs of a call without the widgets that stand below the cell already."""
        views = set() if self._place is None else self._place.views

        def is_live(engine_id: int, output: JsonDict) -> bool:
            view = output.get("data", {}).get(WIDGET_VIEW)
            return isinstance(view, dict) and (engine_id, view.get("model_id")) in views

        others = [
            (engine_id, [each for each in outputs if not is_live(engine_id, each)])
            for engine_id, outputs in pending.outputs
        ]
        return with_progress(others, lambda views: values_of(self._client, views))

    def _note_status(self, pending: PendingResult[Any], elapsed: float) -> None:
        progress = access.ask_progress(pending)
        if progress is not None and progress["total"]:
            self._unit = progress.get("unit", "engines")
            self._status = _status(pending.method, progress, elapsed)
            self._dirty = True

    def _show(self) -> None:
        if not self._dirty or not (self._screen.height or self._screen.permanent):
            return
        self._begun, self._dirty = True, False
        if self._screen.permanent:
            self._screen.say(self._finished_lines())
            lines = self._held_lines(self._screen.height - 1)
            self._screen.live([*lines, self._status] if self._status else lines)
        else:
            lines = self._tail(self._screen.height)
            self._screen.live([*lines, self._status] if self._status else lines)

    def _tail(self, height: int) -> list[str]:
        """The last lines of each engine, ``height`` of them together."""
        shown = []
        each = max(1, height // max(1, len(self._transcripts)))
        for engine_id, transcript in sorted(self._transcripts.items()):
            lines = transcript.tail(each)
            if transcript.total > len(lines):
                above = f"... {transcript.total - len(lines):,} more lines above"
                shown.append(layout.prefix([engine_id]) + above)
            shown += _prefixed(engine_id, lines)
        return shown

    def _held_lines(self, height: int) -> list[str]:
        """The last lines of engines that clear their output, whose lines may still disappear."""
        shown = []
        for engine_id, transcript in sorted(self._transcripts.items()):
            if transcript.clears and height > 0:
                shown += _prefixed(engine_id, transcript.tail(height))
        return shown[-height:] if height > 0 else []

    def _finished_lines(self, *, last: bool = False) -> list[str]:
        lines = []
        for engine_id, transcript in sorted(self._transcripts.items()):
            lines += _prefixed(engine_id, transcript.take_finished(last=last))
            if last:
                lines += _prefixed(engine_id, transcript.take_open())
        return lines

    def _settle_lines(self) -> None:
        """Make the lines that have come so far permanent; a new live view starts below them."""
        if self._screen.permanent:
            self._screen.say(self._finished_lines(last=True))
            self._begun = True
        elif lines := self._tail(layout.MAX_LINES):
            self._screen.finish([layout.Text(lines)])
        self._transcripts.clear()
        self._talking = True

    # -- input() on engines ---------------------------------------------------------------------

    def _answer(self, pending: PendingResult[Any]) -> None:
        """Ask the user for the input that engines wait for, one engine after the other."""
        while self._questions and not self._over:
            engine_id, content = self._questions.popleft()
            self._settle_lines()
            prompt = layout.prefix([engine_id]) + str(content.get("prompt", ""))
            ask = getpass.getpass if content.get("password") else builtins.input
            try:
                value = ask(prompt)
            except EOFError:
                value = "\x04"  # (ipykernel turns it into an EOFError)
            access.answer_input(self._client, pending, engine_id, value, ANSWER_SECONDS)
            self._drain()


def _failure_lines(pending: PendingResult[Any]) -> list[str]:
    """A line for each distinct failure of a call that has ended; none if it has succeeded."""
    if not pending.failed():
        return []
    with suppress(FleetError):  # flush has forgotten it
        error = pending.exception(0)
        return error.grouped_lines() if isinstance(error, CompositeError) else [str(error)]
    return []


def _status(method: str, progress: JsonDict, elapsed: float) -> str:
    """A line that says how far a call is: of how many engines, or a bar for items."""
    if progress.get("unit", "engines") != "engines":
        return bar_line(method, progress, elapsed)
    said = [text for text in (laggards(progress), waiting_behind(progress)) if text]
    return (
        f"{progress['done']} of {progress['total']} engines done"
        f"{''.join(', ' + text for text in said)} ({duration(elapsed)})"
    )


def _prefixed(engine_id: int, lines: Sequence[Line]) -> list[str]:
    return [
        layout.prefix([engine_id], line.stream) + part for line in lines for part in _as_parts(line)
    ]


def _as_parts(line: Line) -> list[str]:
    """The lines of a printed line or a display; those of a value begin with ``Out[n]:``."""
    first, *rest = line.text.split("\n")
    if line.stream != "value":
        return [first, *rest]
    label = "Out:" if line.number is None else f"Out[{line.number}]:"
    return [label, first, *rest] if rest else [f"{label} {first}"]


def wait_showing(
    client: BaseClient, begin: Begin, view: View, timeout: float | None, *, in_result: bool
) -> Any:
    """Start a call, show its outputs while it runs and in their final form, and return its value.

    Args:
        client: The client that makes the call.
        begin: Starts the call.
        view: Where its outputs are shown.
        timeout: Seconds to wait; None means no limit.
        in_result: Whether the result shows the outputs, so that their final form is shown here
            only if the call fails.
    """
    pending = begin(view.feed)
    succeeded = False
    try:
        value = access.wait(client, pending, timeout, view.follow)
        succeeded = True
    finally:
        view.finish(pending, show=not (in_result and succeeded))
    return value


def start(
    client: MultiEngineClient, code: str, targets: list[int], view: View, *, allow_stdin: bool
) -> PendingResult[Any]:
    """Send a cell whose outputs go to a view as they come.

    Args:
        client: The client that makes the call.
        code: The cell.
        targets: The ids of the engines.
        view: Where its outputs are shown.
        allow_stdin: Whether the code may ask the user for input.
    """
    return access.start_code(client, code, targets, view.feed, allow_stdin=allow_stdin)
