"""Where the live view and the final form of a call go: a notebook, a terminal, or nowhere.

A notebook's view is a display of its own id, made in the cell that starts the call: updates find
that cell whatever runs by then, and the final form takes the view's place, so that no line stands
twice. A terminal's view is a few lines at the bottom that are wiped before anything else is
written. Lines here have their engines in front already.
"""

from __future__ import annotations

import shutil
import sys
import uuid
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

from kernelfleet.client.frontend import is_notebook
from kernelfleet.display import html, layout
from kernelfleet.display.layout import Block, Grid, Rich, Text

Bundle = tuple[dict[str, Any], dict[str, Any]]

#: By shell: the cell and the display id of a view that has left nothing but its summary.
_spares: weakref.WeakKeyDictionary[Any, tuple[str | None, str]] = weakref.WeakKeyDictionary()

#: Lines of a live view in a notebook, and in a terminal.
NOTEBOOK_LINES = 40
TERMINAL_LINES = 10


class Screen(Protocol):
    """What a running call is shown on."""

    #: How many lines the live view has.
    height: int
    #: Whether complete lines are printed for good as they come, by ``say``.
    permanent: bool

    def live(self, lines: Sequence[str]) -> None:
        """Show these lines for now, in place of those before."""

    def say(self, lines: Sequence[str]) -> None:
        """Print lines for good."""

    def finish(self, blocks: Sequence[Block], summary: str = "") -> None:
        """Put the final form in the place of the live view.

        Args:
            blocks: The final form.
            summary: What to leave where there is no final form and a view cannot be taken back.
        """


class NoScreen:
    """For calls whose result alone is shown."""

    height = 0
    permanent = False

    def live(self, lines: Sequence[str]) -> None:
        """Show nothing."""

    def say(self, lines: Sequence[str]) -> None:
        """Say nothing."""

    def finish(self, blocks: Sequence[Block], summary: str = "") -> None:
        """Show nothing."""


class NotebookScreen:
    """A display in the cell that is running when the first line is shown.

    With ``detached`` the cell will have ended by the final form, which then all goes into the
    one display.
    """

    permanent = False

    def __init__(self, shell: Any, *, detached: bool = False, live: bool = True) -> None:
        self.height = NOTEBOOK_LINES if live else 0
        self._publish = shell.display_pub.publish
        self._shell, self._detached = shell, detached
        self._display_id = uuid.uuid4().hex
        self._shown: dict[str, Any] | None = None
        self._is_again = False

    def live(self, lines: Sequence[str]) -> None:
        """Make or update the display."""
        if self._shown is None:
            self._take_spare()
        self._put(({"text/plain": "\n".join(lines)}, {}))

    def say(self, lines: Sequence[str]) -> None:
        """Not here: nothing is for good before the end."""

    def finish(self, blocks: Sequence[Block], summary: str = "") -> None:
        """Replace the view by the first block, and show the others below; the next view is new.

        A display cannot be taken back, and an empty one would stay in the saved notebook: without
        blocks the summary takes its place.
        """
        if self._detached:
            bundles = [_together(blocks)] if blocks else []
        else:
            bundles = [bundle_of(block) for block in blocks]
        if self._shown is not None:
            self._spare = None if bundles or self._detached else (self._cell, self._display_id)
            self._put(bundles.pop(0) if bundles else ({"text/plain": summary or "done"}, {}))
        for data, metadata in bundles:
            self._publish(data, metadata)
        self._display_id, self._shown, self._is_again = uuid.uuid4().hex, None, False

    # A loop of slow calls would leave a display for each: a view that left nothing but its summary
    # lends its display to the next view of the same cell.

    @property
    def _spare(self) -> tuple[str | None, str] | None:
        return _spares.get(self._shell)

    @_spare.setter
    def _spare(self, value: tuple[str | None, str] | None) -> None:
        _spares.pop(self._shell, None)
        if value is not None and value[0] is not None:
            _spares[self._shell] = value

    @property
    def _cell(self) -> str | None:
        """The id of the request that runs the present cell; None where that cannot be told."""
        get_parent = getattr(self._shell, "get_parent", None)
        parent = get_parent() if get_parent is not None else {}
        cell = (parent or {}).get("header", {}).get("msg_id")
        return None if cell is None else str(cell)

    def _take_spare(self) -> None:
        if not self._detached and self._spare is not None and self._spare[0] == self._cell:
            self._display_id, self._is_again = self._spare[1], True
            self._spare = None

    def _put(self, bundle: Bundle) -> None:
        data, metadata = bundle
        if data == self._shown:
            return
        transient = {"display_id": self._display_id}
        update = self._shown is not None or self._is_again
        self._publish(data, metadata, transient=transient, update=update)
        self._shown = data


def screen_of(shell: Any, *, live: bool) -> Screen:
    """Where a blocking call is shown; without ``live`` only its final form is, in a notebook."""
    if is_notebook(shell):
        return NotebookScreen(shell, live=live)
    return TerminalScreen(permanent=False) if live else NoScreen()


def bundle_of(block: Block) -> Bundle:
    """A block as a Jupyter display."""
    if isinstance(block, Text):
        return {"text/plain": "\n".join(block.lines)}, {}
    if isinstance(block, Rich):
        return block.data, {**block.metadata, "engines": block.ids}
    return {"text/plain": "\n".join(_as_lines(block)), "text/html": html.grid(block.pictures)}, {}


def _together(blocks: Sequence[Block]) -> Bundle:
    """All blocks as one display."""
    data = {"text/plain": "\n".join(line for block in blocks for line in _as_lines(block))}
    if not all(isinstance(block, Text) for block in blocks):
        data["text/html"] = "".join(map(html.block, blocks))
    return data, {}


def _as_lines(block: Block) -> list[str]:
    """A block where there is only text."""
    if isinstance(block, Text):
        return block.lines
    if isinstance(block, Grid):
        return [f"{layout.prefix(each.ids)}{each.text}" for each in block.pictures]
    return layout.joined(block.data.get("text/plain", "")).split("\n")


class TerminalScreen:
    """Text on stdout; with ``permanent``, complete lines are printed as they come."""

    def __init__(self, *, permanent: bool) -> None:
        self.permanent = permanent
        self._tty = sys.stdout.isatty()
        size = shutil.get_terminal_size()
        self.height = min(TERMINAL_LINES, size.lines - 2) if self._tty else 0
        self._width = size.columns
        self._below = 0

    def live(self, lines: Sequence[str]) -> None:
        """Show lines below what is printed, cut to the width so that they can be wiped."""
        if not self._tty:
            return
        self._wipe()
        shown = [layout.printable(line)[: self._width - 1] for line in lines[-self.height :]]
        sys.stdout.write("".join(line + "\n" for line in shown))
        sys.stdout.flush()
        self._below = len(shown)

    def say(self, lines: Sequence[str]) -> None:
        """Print lines, above the live ones."""
        self._wipe()
        sys.stdout.write("".join(line + "\n" for line in lines))
        sys.stdout.flush()

    def finish(self, blocks: Sequence[Block], summary: str = "") -> None:
        """Print the blocks; what was said before is not among them."""
        self._wipe()
        for block in blocks:
            for line in _as_lines(block):
                sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def _wipe(self) -> None:
        if self._below:
            sys.stdout.write(f"\x1b[{self._below}A\x1b[J")
            self._below = 0


class DisplayFile:
    """A file for a progress bar: its last line is a display that is updated."""

    def __init__(self, shell: Any) -> None:
        self._screen = NotebookScreen(shell)

    def write(self, text: str) -> None:
        """Show the last line; what a bar writes to wipe itself is not shown."""
        line = text.rsplit("\r", 1)[-1].strip()
        if line:
            self._screen.live([line])

    def finish(self, summary: str) -> None:
        """Leave this line."""
        self._screen.finish([], summary)

    def flush(self) -> None:
        """Nothing is held back."""
