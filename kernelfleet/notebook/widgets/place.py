r"""Where the widgets of one call stand in the notebook: a tab per engine if several show some.

::

    VBox --- VBox of the only engine --- its widgets, and what their callbacks have put out
         \-- Tab --- VBox of an engine
         \-- HTML: the printed text, where the cell has ended and has this one display

The outer box stays the same, so that nothing is drawn anew while the user drags a slider. The text
of the display is what frontends without widgets show, and what a saved notebook has.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kernelfleet.notebook.widgets import as_text, models
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import WIDGET_VIEW

Bundle = tuple[dict[str, Any], dict[str, Any]]
#: Publishes a display: its data, its id, and whether it is shown already.
Publish = Callable[[JsonDict, str, bool], object]


class Widgets(Protocol):
    """The bridge, as far as a place needs it.

    Attributes:
        lock: Guards all places.
        places: Those where something is live.
    """

    lock: threading.RLock
    places: list[Place]

    def find(self, engine: int, comm_id: str) -> str | None:
        """The id in the frontend of an engine's comm, which is opened there now; None if not."""

    def open_own(self, values: JsonDict) -> str:
        """Open a widget that no engine has; its id."""

    def open_output(self, values: JsonDict) -> str:
        """Open an Output widget that no engine has."""

    def change_own(self, here: str, values: JsonDict) -> None:
        """Change a widget that no engine has."""

    def show_output(self, here: str, msg_type: str, content: JsonDict) -> None:
        """Show an output in an Output widget that no engine has."""

    def states_of(self, roots: Sequence[str]) -> dict[str, JsonDict]:
        """The values of widgets and of all that they name."""

    def remove(self, place: Place) -> None:
        """A place has nothing live any more."""


@dataclass
class _Row:
    """The widgets of one engine."""

    box: str
    models: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    #: The ids of displays on the engine, which it may change.
    displays: list[str | None] = field(default_factory=list)
    #: Has what callbacks have put out, once there is something.
    notes: str | None = None
    clears: bool = False
    #: Why its widgets are gone.
    gone: str = ""


class Place:
    """See the module's docstring.

    Args:
        bridge: Has the comms.
        publish: Shows the place.
    """

    def __init__(self, bridge: Widgets, publish: Publish) -> None:
        self._bridge, self._publish = bridge, publish
        self._display_id = uuid.uuid4().hex
        self._rows: dict[int, _Row] = {}
        self._root = self._tabs = self._text = ""
        self._shown: JsonDict | None = None
        #: What stands here, by engine and the engine's own id.
        self.views: set[tuple[int, str]] = set()
        #: Whether the call has ended, and what stands here is progress that has not.
        self.is_open = False
        self._over: list[str] | None = None
        #: All widgets that are seen here, as far as was asked.
        self.holds: set[str] = set()

    # -- in the thread that follows the call ------------------------------------------------------

    def take(self, engine: int, msg_type: str, content: JsonDict) -> bool:
        """Take an output; whether it is a live widget, and so stands here."""
        if msg_type == "clear_output" and engine in self._rows:
            self._rows[engine].clears = True
            if not content.get("wait"):
                with self._bridge.lock:
                    self._clear(engine)
            return False
        data = content.get("data")
        view = data.get(WIDGET_VIEW) if isinstance(data, dict) else None
        model = view.get("model_id") if isinstance(view, dict) else None
        here = self._bridge.find(engine, model) if isinstance(model, str) else None
        if here is None or not isinstance(data, dict):
            return False
        display = (content.get("transient") or {}).get("display_id")
        with self._bridge.lock:
            self.views.add((engine, str(model)))
            self._add(engine, here, _as_text(data.get("text/plain", "")), display, msg_type)
        return True

    def _add(self, engine: int, here: str, text: str, display: str | None, msg_type: str) -> None:
        is_new = engine not in self._rows
        if is_new:
            self._rows[engine] = _Row(self._open(models.box, ()))
        row = self._rows[engine]
        if row.clears:
            self._clear(engine)
        if msg_type == "update_display_data":
            if display not in row.displays:
                return
            index = row.displays.index(display)
            row.models[index], row.texts[index] = here, text
        else:
            row.models.append(here)
            row.texts.append(text)
            row.displays.append(display)
        self._fill(row)
        if is_new:
            self._arrange()
        if self._shown is None:
            self._bridge.places.append(self)
            self._put(self.bundle())

    def _clear(self, engine: int) -> None:
        row = self._rows[engine]
        row.models, row.texts, row.displays, row.clears = [], [], [], False
        self._fill(row)

    def finish(self) -> None:
        """The call has ended: what is only progress and over becomes text."""
        if self._shown is None or WIDGET_VIEW not in self._shown:
            return
        states = self._bridge.states_of(self.roots)
        with self._bridge.lock:
            self._over = self._lines_if_over(states)
            self.is_open = self._over is None and self._is_progress(states)
            if self._over is None:
                self._put(self.bundle())
            else:
                self._put({"text/plain": "\n".join(self._over)})
                self._bridge.remove(self)

    def with_text(self, data: JsonDict, *, last: bool) -> Bundle:
        """The place and a text in one display, where the cell has no other.

        Args:
            data: The text.
            last: Whether the call has ended. Before, only the widget with the text changes.
        """
        text, markup = (_as_text(data.get(f"text/{kind}", "")) for kind in ("plain", "html"))
        with self._bridge.lock:
            if self._over is not None:
                lines = [*self._over, *([text] if text else [])]
                markup = models.as_html(self._over) + markup if markup else ""
                return {
                    "text/plain": "\n".join(lines),
                    **({"text/html": markup} if markup else {}),
                }, {}
            if not self._text and text:
                self._text = self._open(models.text, [])
                self._arrange()
            if self._text:
                value = markup or models.as_html(text.split("\n"))
                self._bridge.change_own(self._text, {"value": value})
            bundle = self.bundle()
            if last and text:
                bundle["text/plain"] += f"\n{text}"
            return bundle, metadata_of(bundle)

    # -- in the bridge's thread -------------------------------------------------------------------

    @property
    def engines(self) -> Iterable[int]:
        """The engines that have widgets here."""
        return self._rows

    @property
    def roots(self) -> list[str]:
        """The widgets that stand here, by their ids in the frontend."""
        return [model for row in self._rows.values() for model in row.models]

    def note(self, engine: int, msg_type: str, content: JsonDict) -> None:
        """Show what a callback has put out, below the widgets of its engine."""
        row = self._rows[engine]
        if row.notes is None:
            layout = self._bridge.open_own(models.layout())
            row.notes = self._bridge.open_output(models.output(layout))
            self._fill(row)
        self._bridge.show_output(row.notes, msg_type, content)

    def closed(self, engine: int, here: str, reason: str) -> None:
        """A widget was closed: by its program, or because its engine is gone."""
        row = self._rows.get(engine)
        if row is None or here not in row.models:
            return
        if reason and not row.gone:
            row.gone = reason
            if all(each.gone for each in self._rows.values()):
                self._put({"text/plain": "\n".join(self._lines())})
                self._bridge.remove(self)
            else:
                text = self._open(models.text, [each + _gone(row) for each in row.texts])
                self._bridge.change_own(row.box, {"children": models.references_to([text])})
        elif not reason:
            row.models.remove(here)
            self._fill(row)

    # -- as widgets and as text -------------------------------------------------------------------

    def bundle(self) -> JsonDict:
        """The place as a display."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self._root}
        return {"text/plain": "\n".join([*self._lines(), as_text.NOT_LIVE]), WIDGET_VIEW: view}

    def _lines(self) -> list[str]:
        return as_text.lines_of(
            {
                engine: [text + _gone(row) for text in row.texts]
                for engine, row in self._rows.items()
            }
        )

    def _lines_if_over(self, states: dict[str, JsonDict]) -> list[str] | None:
        touched = any(row.notes or row.gone for row in self._rows.values())
        if touched or not all(as_text.is_over(states, model) for model in self.roots):
            return None
        texts = {
            engine: [as_text.text_of(states, model) for model in row.models]
            for engine, row in self._rows.items()
        }
        return as_text.lines_of(texts)

    def _is_progress(self, states: dict[str, JsonDict]) -> bool:
        return all(as_text.is_progress(states, model) for model in self.roots)

    def _put(self, data: JsonDict) -> None:
        if data != self._shown:
            self._publish(data, self._display_id, self._shown is not None)
            self._shown = data

    def _open(self, make: Callable[..., JsonDict], *arguments: Sequence[str]) -> str:
        layout = self._bridge.open_own(models.layout())
        return self._bridge.open_own(make(layout, *arguments))

    def _fill(self, row: _Row) -> None:
        children = [*row.models, *([row.notes] if row.notes else [])]
        self._bridge.change_own(row.box, {"children": models.references_to(children)})

    def _arrange(self) -> None:
        """The box around all, with what stands in it now."""
        boxes = [row.box for _, row in sorted(self._rows.items())]
        inside = boxes
        if len(boxes) > 1:
            self._tabs = self._tabs or self._open(models.tabs)
            titles = [f"engine {engine}" for engine in sorted(self._rows)]
            values = {"children": models.references_to(boxes), "titles": titles}
            self._bridge.change_own(self._tabs, values)
            inside = [self._tabs]
        inside = [*inside, *([self._text] if self._text else [])]
        if self._root:
            self._bridge.change_own(self._root, {"children": models.references_to(inside)})
        else:
            self._root = self._open(models.box, inside)


def metadata_of(data: JsonDict) -> JsonDict:
    """What tells JupyterLab's extension that a display is a view of engines' widgets."""
    return {"kernelfleet": "widgets"} if WIDGET_VIEW in data else {}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(map(str, value))


def _gone(row: _Row) -> str:
    return f" (live no more: {row.gone})" if row.gone else ""
