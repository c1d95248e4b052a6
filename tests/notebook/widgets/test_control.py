"""control.py: a page that is loaded again is told of the widgets of engines as well."""

# mypy: allow-untyped-calls
# the package comm is untyped

from __future__ import annotations

from typing import Any

from comm.base_comm import CommManager

from kernelfleet.notebook.widgets.control import CONTROL, completed, control_of
from kernelfleet.wire.messages.comms import State

ENGINES = State({"_model_name": "M", "value": 1, "image": None}, [["image"]], [b"bytes"])
ASKING = {"content": {"data": {"method": "request_states"}}}


class Page:
    """The comm that a page opens, and what it is sent."""

    def __init__(self, manager: CommManager) -> None:
        self.answers: list[tuple[Any, Any]] = []
        self._asked: Any = None
        target: Any = manager.targets[CONTROL]
        target(self, {})

    def on_msg(self, callback: Any) -> None:
        self._asked = callback

    def send(self, data: Any = None, _metadata: Any = None, buffers: Any = None) -> None:
        self.answers.append((data, buffers))

    def ask(self) -> Any:
        self._asked(ASKING)
        return self.answers[-1]


def test_without_ipywidgets_the_answer_is_ours() -> None:
    manager = CommManager()
    control = control_of(manager)
    assert control_of(manager) is control
    page = Page(manager)
    assert page.ask()[0] == {"method": "update_states", "states": {}, "buffer_paths": []}
    control.sources.append(lambda: {"e": ENGINES})
    data, buffers = page.ask()
    assert data["states"]["e"]["state"]["value"] == 1
    assert data["states"]["e"]["model_name"] == "M"
    assert data["buffer_paths"] == [["e", "state", "image"]]
    assert buffers == [b"bytes"]


def test_ipywidgets_answers_and_is_completed_whenever_it_is_imported() -> None:
    class Theirs:
        comm: Any = None

        def opened(self, comm: Any, _msg: Any) -> None:
            self.comm = comm
            comm.on_msg(self.asked)

        def asked(self, _msg: Any) -> None:
            states = {"here": {"state": {"x": 1}}}
            answer = {"method": "update_states", "states": states, "buffer_paths": [["here", "i"]]}
            self.comm.send(answer, buffers=[b"here"])

    for imported_first in (True, False):
        manager, theirs = CommManager(), Theirs()
        if imported_first:
            manager.register_target(CONTROL, theirs.opened)
        control_of(manager).sources.append(lambda: {"e": ENGINES})
        if not imported_first:
            manager.register_target(CONTROL, theirs.opened)
        data, buffers = Page(manager).ask()
        assert data["states"].keys() == {"here", "e"}
        assert data["buffer_paths"] == [["here", "i"], ["e", "state", "image"]]
        assert buffers == [b"here", b"bytes"]
        manager.register_target("other", theirs.opened)
        assert manager.targets["other"] == theirs.opened


def test_other_messages_pass_as_they_are() -> None:
    manager = CommManager()
    control_of(manager).sources.append(lambda: {"e": ENGINES})
    taken: list[Any] = []
    manager.register_target(CONTROL, lambda comm, _msg: taken.append(comm))
    page = Page(manager)
    taken[0].send({"method": "other"})
    assert page.answers == [({"method": "other"}, None)]
    assert completed({}, [], {}) == ({"states": {}, "buffer_paths": []}, [])
