"""A page that is loaded again asks for the widgets there are; those of engines are among them.

Since ipywidgets 8 a frontend opens a comm of the target ``jupyter.widget.control`` and asks for all
states. ipywidgets knows those of its own process only. Here its answer is completed, and where it
is not imported it is given. ipywidgets may be imported later and then registers its target: what it
registers is kept, and called.
"""

# mypy: allow-untyped-calls
# the package comm is untyped

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import State

CONTROL = "jupyter.widget.control"

#: Gives the states of a bridge's widgets, by id.
States = Callable[[], dict[str, State]]

_controls: weakref.WeakKeyDictionary[Any, Control] = weakref.WeakKeyDictionary()


class Control:
    """The target in one comm manager, for all bridges of its kernel."""

    def __init__(self, manager: Any) -> None:
        self.sources: list[States] = []
        self._register = manager.register_target
        self._theirs: Callable[[Any, Any], None] | None = manager.targets.get(CONTROL)
        self._register(CONTROL, self._opened)
        manager.register_target = self._register_target

    def _register_target(self, name: str, target: Any) -> None:
        if name == CONTROL and callable(target):
            self._theirs = target  # ipywidgets is imported here
        else:
            self._register(name, target)

    def _opened(self, control: Any, msg: Any) -> None:
        completed = _Completed(control, self.sources)
        if self._theirs is not None:
            self._theirs(completed, msg)
            return
        empty: JsonDict = {"method": "update_states", "states": {}, "buffer_paths": []}
        control.on_msg(lambda _: completed.send(empty))


def control_of(manager: Any) -> Control:
    """The control of a comm manager; it stays as long as the manager."""
    control = _controls.get(manager)
    if control is None:
        control = _controls[manager] = Control(manager)
    return control


class _Completed:
    """A control comm whose answers have the widgets of engines, too."""

    def __init__(self, control: Any, sources: list[States]) -> None:
        self._control, self._sources = control, sources

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        """Send, with the widgets of engines added to the states of all."""
        if isinstance(data, dict) and data.get("method") == "update_states":
            found = {key: state for source in self._sources for key, state in source().items()}
            data, buffers = completed(data, list(buffers or []), found)
        self._control.send(data, metadata, buffers)


def completed(
    data: JsonDict, buffers: list[Any], found: dict[str, State]
) -> tuple[JsonDict, list[Any]]:
    """The answer about all states, with more of them."""
    states, paths = dict(data.get("states") or {}), list(data.get("buffer_paths") or [])
    for comm_id, state in found.items():
        states[comm_id] = {
            "model_name": state.values.get("_model_name"),
            "model_module": state.values.get("_model_module"),
            "model_module_version": state.values.get("_model_module_version"),
            "state": state.values,
        }
        paths += [[comm_id, "state", *path] for path in state.paths]
        buffers = [*buffers, *state.buffers]
    return {**data, "states": states, "buffer_paths": paths}, buffers
