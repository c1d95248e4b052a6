"""Progress of engines as text where widgets are not live: in terminals, without a person. Pure.

What a widget says of itself when it is displayed is its first state: a bar at 0 %. Where nobody
follows it, its last state is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kernelfleet.notebook.widgets import as_text
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import WIDGET_VIEW

Outputs = Sequence[tuple[int, Sequence[JsonDict]]]
#: Gives the values of widgets and of what they name, by engine and id.
Ask = Callable[[Sequence[tuple[int, str]]], Mapping[int, Mapping[str, JsonDict]]]


def model_of(output: JsonDict) -> str | None:
    """The widget that an output is a view of; None if it is none."""
    view = (output.get("data") or {}).get(WIDGET_VIEW)
    model = view.get("model_id") if isinstance(view, dict) else None
    return model if isinstance(model, str) else None


def with_progress(outputs: Outputs, ask: Ask) -> list[tuple[int, list[JsonDict]]]:
    """Outputs in which each view of nothing but progress is a line that says how far it is now.

    Args:
        outputs: The outputs of each engine.
        ask: Is asked if there are views.
    """
    views = [
        (engine, model)
        for engine, each in outputs
        for output in each
        if (model := model_of(output)) is not None
    ]
    states = ask(views) if views else {}

    def still(engine: int, output: JsonDict) -> JsonDict:
        model = model_of(output)
        there = states.get(engine, {})
        if model is None or not as_text.is_progress(there, model):
            return output
        return {**output, "data": {"text/plain": as_text.text_of(there, model)}}

    return [(engine, [still(engine, each) for each in some]) for engine, some in outputs]
