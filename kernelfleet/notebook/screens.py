"""Where the outputs of a call are shown: in a notebook, in a terminal, or nowhere.

In a notebook the live view is a display with an id of its own, which is made in the cell that
starts the call. Updates reach that cell even if another one runs by then. The final form replaces
the live view, so that no line is shown twice. In a terminal the live view is a few lines at the
bottom, which are erased before anything else is written. All lines that come here already begin
with their engines.
"""

from __future__ import annotations

import shutil
import sys
import uuid
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kernelfleet.client.frontend import is_notebook
from kernelfleet.display import bundle, html
from kernelfleet.display.layout import Block, Output, Rich, Text, printable

if TYPE_CHECKING:
    from kernelfleet.client.base import BaseClient
    from kernelfleet.notebook.widgets.place import Place

Outputs = Sequence[tuple[int, Sequence[Output]]]
Bundle = tuple[dict[str, Any], dict[str, Any]]

#: For each shell the cell and the display id of the last view of which only a summary is left.
_spares: weakref.WeakKeyDictionary[Any, tuple[str | None, str]] = weakref.WeakKeyDictionary()

#: A live view has at most so many lines, in a notebook and in a terminal.
NOTEBOOK_LINES = 40
TERMINAL_LINES = 10


class Screen(Protocol):
    """Shows one call.

    Attributes:
        height: How many lines the live view has.
        permanent: Whether complete lines are printed with ``say`` as soon as they come, and stay.
    """

    height: int
    permanent: bool

    def live(self, lines: Sequence[str]) -> None:
        """Show these lines in the live view, in place of those before."""

    def place(self, client: BaseClient) -> Place | None:
        """Where live widgets of engines stand; None if they are text here."""

    def say(self, lines: Sequence[str]) -> None:
        """Print lines that stay."""

    def finish(self, blocks: Sequence[Block], summary: str = "", outputs: Outputs = ()) -> None:
        """Replace the live view by the final form.

        Args:
            blocks: The final form.
            summary: Is shown instead if there is no final form, and the view cannot be removed.
            outputs: What the final form was made of, by engine, for a front end that has tabs.
        """


class NoScreen:
    """Shows nothing, for calls whose result alone is shown."""

    height = 0
    permanent = False

    def live(self, lines: Sequence[str]) -> None:
        """Show nothing."""

    def place(self, client: BaseClient) -> Place | None:
        """Widgets are text."""
        return None

    def say(self, lines: Sequence[str]) -> None:
        """Print nothing."""

    def finish(self, blocks: Sequence[Block], summary: str = "", outputs: Outputs = ()) -> None:
        """Show nothing."""


class NotebookScreen:
    """Shows a call in the cell that runs when the first line is shown.

    Args:
        shell: The shell of the notebook's kernel.
        detached: Whether the cell ends before the call does. Then the whole final form goes into
            the one display, because a cell that has ended gets no further ones.
        live: Whether there is a live view.
    """

    permanent = False

    def __init__(self, shell: Any, *, detached: bool = False, live: bool = True) -> None:
        self.height = NOTEBOOK_LINES if live else 0
        self._publish = shell.display_pub.publish
        self._shell, self._detached = shell, detached
        self._display_id = uuid.uuid4().hex
        self._shown: dict[str, Any] | None = None
        self._is_again = False
        self._place: Place | None = None
        #: The display that has widgets and text, if the cell can have no other.
        self._widgets_id: str | None = None

    def place(self, client: BaseClient) -> Place | None:
        """Where live widgets stand: where somebody watches, in the kernel of a notebook."""
        if not self.height or getattr(self._shell.kernel, "iopub_socket", None) is None:
            return None
        from kernelfleet.notebook.widgets.bridge import bridge_for

        self._place = bridge_for(self._shell, client).place(self._publish_widgets)
        return self._place

    def _publish_widgets(self, data: dict[str, Any], display_id: str, is_shown: bool) -> None:
        """Show widgets in a display of their own, or in the one that the cell has got."""
        from kernelfleet.notebook.widgets.place import metadata_of

        if not self._detached or is_shown:
            display_id = self._widgets_id or display_id
            metadata = metadata_of(data)
            self._publish(data, metadata, transient={"display_id": display_id}, update=is_shown)
        else:
            self._widgets_id = self._display_id
            self._put(({"text/plain": ""}, {}))

    def live(self, lines: Sequence[str]) -> None:
        """Make or update the display."""
        if self._shown is None:
            self._take_spare()
        self._put(({"text/plain": "\n".join(lines)}, {}))

    def say(self, lines: Sequence[str]) -> None:
        """Do nothing: in a notebook no line stays before the end."""

    def finish(self, blocks: Sequence[Block], summary: str = "", outputs: Outputs = ()) -> None:
        """Replace the view by the first block, and show the others below it.

        A display cannot be removed, and an empty one would stay in the saved notebook. So if there
        are no blocks, the summary replaces the view.
        """
        if tabs := bundle.of_engines(outputs, blocks):
            bundles: list[Bundle] = [(tabs, {})]
        elif self._detached:
            bundles = [_together(blocks)] if blocks else []
        else:
            bundles = [bundle_of(block) for block in blocks]
        if self._shown is not None:
            self._spare = None if bundles or self._detached else (self._cell, self._display_id)
            text = summary or "done" if self._widgets_id is None else ""
            self._put(bundles.pop(0) if bundles else ({"text/plain": text}, {}), last=True)
        for data, metadata in bundles:
            self._publish(data, metadata)
        self._display_id, self._shown, self._is_again = uuid.uuid4().hex, None, False

    # A loop of slow calls would leave a display for each call. So if only a summary is left of a
    # view, the next view of the same cell uses its display again.

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
        """The id of the request that runs the present cell; None if that is not known."""
        get_parent = getattr(self._shell, "get_parent", None)
        parent = get_parent() if get_parent is not None else {}
        cell = (parent or {}).get("header", {}).get("msg_id")
        return None if cell is None else str(cell)

    def _take_spare(self) -> None:
        if not self._detached and self._spare is not None and self._spare[0] == self._cell:
            self._display_id, self._is_again = self._spare[1], True
            self._spare = None

    def _put(self, shown: Bundle, *, last: bool = False) -> None:
        data, metadata = shown
        if self._widgets_id is not None and self._place is not None:
            data, metadata = self._place.with_text(data, last=last)
        if data == self._shown:
            return
        transient = {"display_id": self._display_id}
        update = self._shown is not None or self._is_again
        self._publish(data, metadata, transient=transient, update=update)
        self._shown = data


def screen_of(shell: Any, *, live: bool) -> Screen:
    """The screen for a blocking call.

    Args:
        shell: The shell in which the call is made.
        live: Whether outputs are shown while they come. If not, a notebook shows their final form,
            and a terminal shows nothing.
    """
    if is_notebook(shell):
        return NotebookScreen(shell, live=live)
    return TerminalScreen(permanent=False) if live else NoScreen()


def bundle_of(block: Block) -> Bundle:
    """A block as the data and the metadata of a Jupyter display."""
    if isinstance(block, Text):
        return {"text/plain": "\n".join(block.lines)}, {}
    if isinstance(block, Rich):
        return block.data, {**block.metadata, "engines": block.ids}
    return {
        "text/plain": "\n".join(bundle.as_lines(block)),
        "text/html": html.grid(block.pictures),
    }, {}


def _together(blocks: Sequence[Block]) -> Bundle:
    """All blocks as the data and the metadata of one display."""
    data = {"text/plain": "\n".join(line for block in blocks for line in bundle.as_lines(block))}
    if not all(isinstance(block, Text) for block in blocks):
        data["text/html"] = "".join(map(html.block, blocks))
    return data, {}


class TerminalScreen:
    """Shows a call as text on stdout.

    Args:
        permanent: Whether complete lines are printed as soon as they come, and stay.
    """

    def __init__(self, *, permanent: bool) -> None:
        self.permanent = permanent
        self._tty = sys.stdout.isatty()
        size = shutil.get_terminal_size()
        self.height = min(TERMINAL_LINES, size.lines - 2) if self._tty else 0
        self._width = size.columns
        self._below = 0

    def place(self, client: BaseClient) -> Place | None:
        """Widgets are text."""
        return None

    def live(self, lines: Sequence[str]) -> None:
        """Show lines below the printed text.

        They are cut to the width of the terminal, so that each takes one row and can be erased.
        """
        if not self._tty:
            return
        self._wipe()
        shown = [printable(line)[: self._width - 1] for line in lines[-self.height :]]
        sys.stdout.write("".join(line + "\n" for line in shown))
        sys.stdout.flush()
        self._below = len(shown)

    def say(self, lines: Sequence[str]) -> None:
        """Print lines above the live view."""
        self._wipe()
        sys.stdout.write("".join(line + "\n" for line in lines))
        sys.stdout.flush()

    def finish(self, blocks: Sequence[Block], summary: str = "", outputs: Outputs = ()) -> None:
        """Print the blocks; what ``say`` has printed is not among them."""
        self._wipe()
        for block in blocks:
            for line in bundle.as_lines(block):
                sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def _wipe(self) -> None:
        if self._below:
            sys.stdout.write(f"\x1b[{self._below}A\x1b[J")
            self._below = 0


class DisplayFile:
    """A file for a progress bar, in a notebook: its last line is a display that is updated."""

    def __init__(self, shell: Any) -> None:
        self._screen = NotebookScreen(shell)

    def write(self, text: str) -> None:
        """Show the last line of a text, unless it is empty: a bar writes that to erase itself."""
        line = text.rsplit("\r", 1)[-1].strip()
        if line:
            self._screen.live([line])

    def finish(self, summary: str) -> None:
        """Replace the bar by this line."""
        self._screen.finish([], summary)

    def flush(self) -> None:
        """Do nothing: every text is shown at once."""
