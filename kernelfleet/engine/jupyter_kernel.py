"""JupyterKernel: what an engine does for Jupyter's own clients in another way than ipykernel.

An engine stays a complete Jupyter kernel while a fleet uses it: consoles and notebooks may attach
to it, debug in it and shut it down. Each method below overrides one of ipykernel's whose behaviour
does not suit an engine; the fleet's own requests are answered in ``kernel.py``.
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import asyncio
from typing import Any

import zmq
from ipykernel.ipkernel import IPythonKernel
from traitlets import Float

from kernelfleet.engine import debugging
from kernelfleet.engine.running import history, interrupts


class JupyterKernel(IPythonKernel):
    """A kernel for the clients that know nothing of fleets."""

    # ipykernel allows None where an application has set them
    shell: Any
    session: Any
    parent: Any
    control_stream: Any
    shell_stream: Any
    shell_channel: Any
    io_loop: Any

    _execute_sleep = Float(0.0).tag(config=True)

    @property
    def _supports_kernel_subshells(self) -> bool:
        return bool(self.shell_channel_thread)  # ours is a falsy stand-in, see app.py

    # -- what frontends ask ---------------------------------------------------------------------

    def do_history(  # type: ignore[override]
        self,
        hist_access_type: str,
        output: bool,
        raw: bool,
        n: int | None = None,
        pattern: str | None = None,
        unique: bool = False,
        **others: Any,
    ) -> dict[str, Any]:
        """Answer ``tail`` and ``search`` from memory, where there is no database."""
        kept = self.shell.history_manager
        if kept.enabled or hist_access_type not in ("tail", "search"):
            wanted = {"n": n, "pattern": pattern, "unique": unique, **others}
            answer: dict[str, Any] = super().do_history(hist_access_type, output, raw, **wanted)
            return answer
        cells = kept.input_hist_raw if raw else kept.input_hist_parsed
        if hist_access_type == "tail":
            found = history.tail(cells, n)
        else:
            found = history.search(cells, pattern, n, unique=unique)
        outputs = kept.output_hist_reprs if output else None
        entries = history.entries(found, kept.session_number, outputs)
        return {"status": "ok", "history": entries}

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        """Abort what waits behind a failing cell of a frontend, also if that cell has awaited.

        While a cell awaits, what arrives waits for ipykernel's lock. ipykernel (7.4) stops
        aborting in the next turn of the loop, before any of that has its turn.
        """
        self._aborting = True
        self.shell_channel.read_all()
        self.io_loop.call_later(self.stop_on_error_timeout, self._stop_aborting)

    async def _stop_aborting(self) -> None:
        async with self._main_asyncio_lock:  # which is given in the order in which it is asked for
            self._aborting = False

    # -- debugger ---------------------------------------------------------------------------

    async def do_debug_request(self, msg: Any) -> Any:
        """Load the debugger when somebody debugs for the first time."""
        if getattr(self, "debugger", None) is None:
            self.debugger = debugging.create_debugger(self)
            if self.debugger is not None:
                self._stopped_queue = asyncio.ensure_future(super().poll_stopped_queue())
        return await super().do_debug_request(msg)

    async def poll_stopped_queue(self) -> None:
        """Wait for the debugger: ``do_debug_request`` starts the polling."""

    @property
    def kernel_info(self) -> dict[str, Any]:
        """Say that there is a debugger, though it is not loaded yet."""
        info: dict[str, Any] = super().kernel_info
        if debugging.is_installed() and "debugger" not in info["supported_features"]:
            info["supported_features"].append("debugger")
        return info

    # -- interrupt and end ------------------------------------------------------------------

    def _cancel_on_sigint(self, future: Any) -> Any:
        """Interrupt awaiting cells of other clients as promptly as the fleet's."""
        return interrupts.cancel_on_sigint(future)

    async def _progressively_terminate_all_children(self) -> None:
        """Leave the children to the controller: ipykernel 7.4 waits up to 2 x 14 s for them."""

    async def shutdown_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """Reply, then leave for certain."""
        restart = bool(parent["content"].get("restart", False))
        content = {"status": "ok", "restart": restart}
        self.session.send(stream, "shutdown_reply", content, parent, ident=ident)
        stream.flush(zmq.POLLOUT)
        message = self.session.msg("shutdown_reply", content, parent)
        self.session.send(self.iopub_socket, message, ident=self._topic("shutdown"))
        self.parent.leave_soon()
