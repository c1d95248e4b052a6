"""The side of a comm of an engine that the notebook's frontend talks to.

ipykernel's own class (7.4) would not do: it sends for the request that the calling thread serves,
runs the notebook's own hooks (``pre_execute``) for each message, and closes the frontend's side
when it is garbage.
"""

# mypy: allow-untyped-calls
# ipykernel's functions are untyped

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipykernel.comm.comm import BaseComm
from ipykernel.jsonutil import json_clean

from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import CommMessage

#: Gets the comm, ``comm_msg`` or ``comm_close``, and the frontend's message, in the kernel's thread
#: or in that of a subshell.
FromFrontend = Callable[["LocalComm", str, JsonDict], None]


class LocalComm(BaseComm):
    """See the module's docstring.

    Args:
        kernel: The notebook's kernel.
        parent: The message for which it sends; changed as messages of the frontend come.
        opening: What opens it.
        from_frontend: Gets what the frontend says.
    """

    def __init__(
        self, kernel: Any, parent: JsonDict, opening: CommMessage, from_frontend: FromFrontend
    ) -> None:
        self._kernel, self.parent, self._from_frontend = kernel, parent, from_frontend
        name, module = opening.target
        super().__init__(
            comm_id=opening.comm_id, target_name=name, target_module=module, data=opening.data,
            metadata=opening.metadata, buffers=opening.buffers,
        )  # fmt: skip

    def publish_msg(
        self,
        msg_type: str,
        data: Any = None,
        metadata: Any = None,
        buffers: Any = None,
        **keys: Any,
    ) -> None:
        """Send to the frontend, from any thread."""
        content = json_clean({"data": data or {}, "comm_id": self.comm_id, **keys})
        self._kernel.session.send(
            self._kernel.iopub_socket, msg_type, content, metadata=json_clean(metadata or {}),
            parent=self.parent, ident=self.topic, buffers=buffers,
        )  # fmt: skip

    def handle_msg(self, msg: Any) -> None:
        """Take a message of the frontend."""
        self._from_frontend(self, "comm_msg", msg)

    def handle_close(self, msg: Any) -> None:
        """Take note that the frontend has closed it."""
        self._from_frontend(self, "comm_close", msg)

    def __del__(self) -> None:
        """Do nothing: the engine says when it ends."""
