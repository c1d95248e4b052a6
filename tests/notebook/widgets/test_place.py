"""place.py: what stands below a cell, as widgets and as text. The bridge is simulated."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kernelfleet.notebook.widgets.as_text import NOT_LIVE
from kernelfleet.notebook.widgets.place import Place
from kernelfleet.wire.messages.comms import WIDGET_VIEW

JsonDict = dict[str, Any]


class Bridge:
    """Widgets without comms."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.places: list[Place] = []
        self.own: dict[str, JsonDict] = {}
        self.states: dict[str, JsonDict] = {}
        self.notes: list[tuple[str, str]] = []

    def find(self, engine: int, comm_id: str) -> str | None:
        return None if comm_id == "unknown" else f"{comm_id}{engine}"

    def open_own(self, values: JsonDict) -> str:
        here = f"{values['_model_name'].removesuffix('Model')}-{len(self.own)}"
        self.own[here] = values
        return here

    open_output = open_own

    def change_own(self, here: str, values: JsonDict) -> None:
        self.own[here].update(values)

    def show_output(self, here: str, msg_type: str, content: JsonDict) -> None:
        self.notes.append((here, content["text"]))

    def states_of(self, roots: Any) -> dict[str, JsonDict]:
        return {here: self.states[here] for here in roots if here in self.states}

    def remove(self, place: Place) -> None:
        self.places.remove(place)

    def inside(self, here: str) -> Any:
        """The children of an own widget, of theirs, and so on; of an engine's its id."""
        if here not in self.own:
            return here
        name = here.partition("-")[0]
        children = [each.removeprefix("IPY_MODEL_") for each in self.own[here].get("children", ())]
        return {name: [self.inside(each) for each in children]} if children else name


class Cell:
    """A cell with a place, and what is published below it."""

    def __init__(self) -> None:
        self.bridge = Bridge()
        self.published: list[tuple[JsonDict, bool]] = []
        self.place = Place(self.bridge, lambda data, _, shown: self.published.append((data, shown)))

    def show(self, engine: int, model: str = "m", text: str = "Slider()", **more: Any) -> bool:
        kind = more.pop("kind", "display_data")
        data = {WIDGET_VIEW: {"model_id": model}, "text/plain": text}
        return self.place.take(engine, kind, {"data": data, **more})

    @property
    def last(self) -> JsonDict:
        return self.published[-1][0]

    @property
    def tree(self) -> Any:
        return self.bridge.inside(self.last[WIDGET_VIEW]["model_id"])


@pytest.fixture
def cell() -> Cell:
    return Cell()


def test_the_widgets_of_one_engine_stand_below_each_other(cell: Cell) -> None:
    assert cell.show(1)
    assert cell.show(1, "n", "Text()")
    assert cell.tree == {"VBox": [{"VBox": ["m1", "n1"]}]}
    assert len(cell.published) == 1  # nothing is drawn again
    cell.place.finish()
    assert cell.last["text/plain"] == f"[1] Slider()\n[1] Text()\n{NOT_LIVE}"
    assert cell.bridge.places == [cell.place]


def test_several_engines_have_a_tab_each_in_their_order(cell: Cell) -> None:
    for engine in (2, 0, 1):
        assert cell.show(engine)
    assert cell.tree == {"VBox": [{"Tab": [{"VBox": ["m0"]}, {"VBox": ["m1"]}, {"VBox": ["m2"]}]}]}
    tabs = next(each for name, each in cell.bridge.own.items() if name.startswith("Tab"))
    assert tabs["titles"] == ["engine 0", "engine 1", "engine 2"]
    assert len(cell.published) == 1
    cell.place.finish()
    assert cell.last["text/plain"] == f"[0-2] Slider()\n{NOT_LIVE}"
    assert cell.place.views == {(0, "m"), (1, "m"), (2, "m")}


def test_what_is_no_live_widget_is_left_to_others(cell: Cell) -> None:
    assert not cell.show(0, "unknown")
    assert not cell.place.take(0, "stream", {"text": "x"})
    assert not cell.place.take(0, "display_data", {"data": {"text/plain": "x"}})
    assert not cell.place.take(0, "display_data", {"data": {WIDGET_VIEW: {"model_id": 5}}})
    cell.place.finish()
    assert cell.published == []
    assert cell.bridge.places == []


def test_clearing_and_updating_change_what_stands_there(cell: Cell) -> None:
    cell.show(0, "a")
    cell.place.take(0, "clear_output", {"wait": True})
    assert cell.tree == {"VBox": [{"VBox": ["a0"]}]}
    cell.show(0, "b", transient={"display_id": "d"})
    assert cell.tree == {"VBox": [{"VBox": ["b0"]}]}
    cell.show(0, "c", kind="update_display_data", transient={"display_id": "d"})
    cell.show(0, "x", kind="update_display_data", transient={"display_id": "other"})
    assert cell.tree == {"VBox": [{"VBox": ["c0"]}]}
    cell.place.take(0, "clear_output", {})
    assert cell.tree == {"VBox": ["VBox"]}


def bar(value: int) -> JsonDict:
    return {"_model_name": "IntProgressModel", "value": value, "max": 5, "min": 0}


def test_progress_that_is_over_becomes_text(cell: Cell) -> None:
    for engine in (0, 1):
        cell.show(engine)
        cell.bridge.states[f"m{engine}"] = bar(5)
    cell.place.finish()
    assert cell.last == {"text/plain": "[0-1] |██████████|"}
    assert cell.bridge.places == []
    cell.place.finish()
    assert len(cell.published) == 2


def test_progress_that_goes_on_after_its_call_is_looked_at_again(cell: Cell) -> None:
    cell.show(0)
    cell.bridge.states["m0"] = bar(1)
    cell.place.finish()
    assert cell.place.is_open
    assert WIDGET_VIEW in cell.last
    cell.bridge.states["m0"] = bar(5)
    cell.place.finish()
    assert cell.last == {"text/plain": "[0] |██████████|"}
    assert not cell.place.is_open


def test_a_slider_beside_a_bar_keeps_both(cell: Cell) -> None:
    cell.show(0)
    cell.show(0, "s")
    cell.bridge.states |= {"m0": bar(5), "s0": {"_model_name": "IntSliderModel"}}
    cell.place.finish()
    assert WIDGET_VIEW in cell.last
    assert not cell.place.is_open


def test_what_a_callback_prints_stands_below_the_widgets_of_its_engine(cell: Cell) -> None:
    for engine in (0, 1):
        cell.show(engine)
    for text in ("a", "b"):
        cell.place.note(1, "stream", {"text": text})
    tree = cell.tree["VBox"][0]["Tab"]
    assert tree == [{"VBox": ["m0"]}, {"VBox": ["m1", "Output"]}]
    assert [text for _, text in cell.bridge.notes] == ["a", "b"]
    assert len({here for here, _ in cell.bridge.notes}) == 1


def test_an_engine_that_is_gone_leaves_a_text_and_the_others_go_on(cell: Cell) -> None:
    for engine in (0, 1):
        cell.show(engine)
    cell.place.closed(1, "m1", "it was restarted")
    cell.place.closed(1, "m1", "it was restarted")
    assert cell.tree["VBox"][0]["Tab"] == [{"VBox": ["m0"]}, {"VBox": ["HTML"]}]
    (html,) = [each for name, each in cell.bridge.own.items() if name.startswith("HTML")]
    assert html["value"] == "<pre>Slider() (live no more: it was restarted)</pre>"
    cell.place.closed(0, "m0", "the fleet was stopped")
    assert cell.last["text/plain"].splitlines() == [
        "[0] Slider() (live no more: the fleet was stopped)",
        "[1] Slider() (live no more: it was restarted)",
    ]
    assert WIDGET_VIEW not in cell.last
    assert cell.bridge.places == []


def test_a_widget_that_its_program_closes_goes(cell: Cell) -> None:
    cell.show(0, "a")
    cell.show(0, "b")
    cell.place.closed(0, "a0", "")
    cell.place.closed(0, "not here", "")
    cell.place.closed(7, "a0", "")
    assert cell.tree == {"VBox": [{"VBox": ["b0"]}]}


def test_text_and_widgets_share_a_display_where_there_is_only_one(cell: Cell) -> None:
    cell.show(0)
    first, metadata = cell.place.with_text({"text/plain": "line"}, last=False)
    again, _ = cell.place.with_text({"text/plain": "line <2>"}, last=False)
    assert metadata == {"kernelfleet": "widgets"}
    assert first == again  # only the widget with the text changes
    assert cell.bridge.inside(first[WIDGET_VIEW]["model_id"]) == {
        "VBox": [{"VBox": ["m0"]}, "HTML"]
    }
    (html,) = [each for name, each in cell.bridge.own.items() if name.startswith("HTML")]
    assert html["value"] == "<pre>line &lt;2&gt;</pre>"
    end, _ = cell.place.with_text({"text/plain": "end", "text/html": "<b>end</b>"}, last=True)
    assert end["text/plain"].endswith("\nend")
    assert html["value"] == "<b>end</b>"


def test_progress_that_is_over_and_text_are_one_text(cell: Cell) -> None:
    cell.show(0)
    cell.bridge.states["m0"] = bar(5)
    cell.place.finish()
    end, metadata = cell.place.with_text({"text/plain": "end"}, last=True)
    assert end == {"text/plain": "[0] |██████████|\nend"}
    assert metadata == {}
    rich, _ = cell.place.with_text({"text/plain": "end", "text/html": "<b/>"}, last=True)
    assert rich["text/html"] == "<pre>[0] |██████████|</pre><b/>"
    assert cell.place.with_text({}, last=True) == ({"text/plain": "[0] |██████████|"}, {})
