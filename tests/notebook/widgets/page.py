"""A notebook's page without a browser: a kernel, and a client that speaks comm messages with it.

It keeps the models of widgets as JupyterLab does, and notes what a page would complain about: a
view of a model that is not there, or a model that names one.
"""

# mypy: allow-untyped-calls
# jupyter_client's functions are untyped

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from jupyter_client.manager import KernelManager

JsonDict = dict[str, Any]
VIEW = "application/vnd.jupyter.widget-view+json"
#: Nothing here takes longer, also on a busy machine.
SECONDS = 30.0


class Cell:
    """A cell that was run, and its outputs, which may still change."""

    def __init__(self) -> None:
        self.outputs: list[JsonDict] = []
        self.displays: list[str | None] = []
        self.is_done = False

    @property
    def views(self) -> list[str]:
        """The models that are seen below it."""
        return [
            output["data"][VIEW]["model_id"]
            for output in self.outputs
            if VIEW in output.get("data", {})
        ]

    @property
    def text(self) -> str:
        """All text, as a frontend without widgets shows it."""
        parts = []
        for output in self.outputs:
            if "text" in output:
                parts.append(output["text"])
            elif "traceback" in output:
                parts.append("\n".join(output["traceback"]))
            else:
                parts.append(output["data"].get("text/plain", ""))
        return "\n".join(parts)


class Page:
    """See the module's docstring."""

    def __init__(self, kernel: KernelManager) -> None:
        self._client: Any = kernel.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)
        self.models: dict[str, JsonDict] = {}
        self.buffers: dict[str, list[bytes]] = {}
        self.closed: list[str] = []
        #: Comm messages that are no change of state: the comm's id and the data.
        self.custom: list[tuple[str, JsonDict]] = []
        #: The messages of comms, for counting.
        self.comm_messages: list[JsonDict] = []
        self.complaints: list[str] = []
        self._cells: dict[str, Cell] = {}

    def close(self) -> None:
        """Leave; the kernel goes on."""
        self._client.stop_channels()

    # -- what a user does -------------------------------------------------------------------------

    def start(self, code: str) -> Cell:
        """Run a cell without waiting for it."""
        cell = Cell()
        self._cells[self._client.execute(code, allow_stdin=True)] = cell
        return cell

    def run(self, code: str) -> Cell:
        """Run a cell."""
        cell = self.start(code)
        self.wait(lambda: cell.is_done, f"the end of {code!r}")
        return cell

    def set(self, comm_id: str, **values: Any) -> None:
        """Change a widget, as a page does."""
        self.models[comm_id].update(values)
        self.say(comm_id, {"method": "update", "state": values, "buffer_paths": []})

    def click(self, comm_id: str) -> None:
        """Press a button."""
        self.say(comm_id, {"method": "custom", "content": {"event": "click"}})

    def say(self, comm_id: str, data: JsonDict) -> None:
        """Send a message to a comm."""
        content = {"comm_id": comm_id, "data": data}
        self._client.shell_channel.send(self._client.session.msg("comm_msg", content))

    def reload(self) -> JsonDict:
        """Ask for all widgets, as a page that is loaded again; what was answered."""
        opening = {"comm_id": "control", "target_name": "jupyter.widget.control", "data": {}}
        message = self._client.session.msg("comm_open", opening, metadata={"version": "1.0.0"})
        self._client.shell_channel.send(message)
        self.custom.clear()
        self.say("control", {"method": "request_states"})
        self.wait(lambda: any(each == "control" for each, _ in self.custom), "states")
        answered = next(data for each, data in self.custom if each == "control")
        states: JsonDict = {key: each["state"] for key, each in answered["states"].items()}
        return states

    # -- what a user sees -------------------------------------------------------------------------

    def inside(self, view: str) -> list[str]:
        """The model of a view and its children, in the order in which they are seen."""
        found = [view]
        for child in self.models[view].get("children", ()):
            found += self.inside(child.removeprefix("IPY_MODEL_"))
        return found

    def find(self, cell: Cell, name: str) -> list[str]:
        """The widgets of a kind that stand below a cell: ``IntSlider``."""
        every = [each for view in cell.views for each in self.inside(view)]
        return [each for each in every if self.models[each]["_model_name"] == f"{name}Model"]

    def printed(self, output: str) -> str:
        """The text in an Output widget."""
        parts = self.models[output]["outputs"]
        return "".join(each.get("text", "") or "".join(each.get("traceback", ())) for each in parts)

    def wait(self, condition: Callable[[], bool], what: str = "it") -> None:
        """Take what comes until something holds."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"no sign of {what}"
            try:
                message = self._client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            self._take(message)

    def take_what_comes(self) -> None:
        """Take all that has arrived: the answer to a question comes after it."""
        asked = self._client.kernel_info()
        seen: list[str] = []
        deadline = time.monotonic() + SECONDS
        while asked not in seen:
            assert time.monotonic() < deadline
            message = self._client.get_iopub_msg(timeout=SECONDS)
            is_end = message["msg_type"] == "status"
            if is_end and message["content"]["execution_state"] == "idle":
                seen.append(message["parent_header"].get("msg_id", ""))
            self._take(message)

    def _take(self, message: JsonDict) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind.startswith("comm_"):
            self.comm_messages.append(message)
            self._take_comm(kind, content, message.get("buffers") or [])
            return
        cell = self._cells.get(message["parent_header"].get("msg_id", ""))
        display = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            self._update(display, content)
        elif cell is None:
            return
        elif kind == "status":
            cell.is_done = cell.is_done or content["execution_state"] == "idle"
        elif kind in ("stream", "display_data", "execute_result", "error"):
            self._check_view(content)
            cell.outputs.append(content)
            cell.displays.append(display)

    def _take_comm(self, kind: str, content: JsonDict, buffers: list[Any]) -> None:
        comm_id, data = content["comm_id"], content.get("data") or {}
        if kind == "comm_open":
            if comm_id in self.models:
                self.complaints.append(f"{comm_id} is opened twice")
            self.models[comm_id] = dict(data.get("state", {}))
            self.buffers[comm_id] = [bytes(each) for each in buffers]
        elif kind == "comm_close":
            self.models.pop(comm_id, None)
            self.closed.append(comm_id)
        elif data.get("method") in ("update", "echo_update"):
            if comm_id not in self.models:
                self.complaints.append(f"{comm_id} is changed and not there")
                return
            self.models[comm_id].update(data["state"])
        else:
            self.custom.append((comm_id, data))
        for named in _names(data.get("state")):
            if named not in self.models:
                self.complaints.append(f"{comm_id} names {named}, which is not there")

    def _check_view(self, content: JsonDict) -> None:
        view = content.get("data", {}).get(VIEW)
        if view is not None and view["model_id"] not in self.models:
            self.complaints.append(f"a view of {view['model_id']}, which is not there")

    def _update(self, display: str | None, content: JsonDict) -> None:
        self._check_view(content)
        for cell in self._cells.values():
            for index, each in enumerate(cell.displays):
                if each == display:
                    cell.outputs[index] = content


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value.removeprefix("IPY_MODEL_")] if value.startswith("IPY_MODEL_") else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for each in parts for found in _names(each)]
