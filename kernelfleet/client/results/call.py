"""A call that the controller has been asked to make: who runs it, how far it is, what it printed.

This is the part of a ``PendingResult`` that knows the controller. What the user gets of it, the
value or the error, is in ``pending.py``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kernelfleet.client.controller_proxy import ControllerProxy
from kernelfleet.client.results.decode import tells_failure
from kernelfleet.client.results.replies import Part, Reply, printed, so_far
from kernelfleet.session.future import Future
from kernelfleet.wire.messages import JsonDict

if TYPE_CHECKING:
    from kernelfleet.timeline import Timeline

T = TypeVar("T")

#: How long the controller may take to say how far a call is, in seconds: it is asked when a timeout
#: has expired, and the caller wants control back.
PROGRESS_SECONDS = 0.3
#: How long engines that were interrupted get to end their command, in seconds, before Ctrl-C comes
#: through all the same.
SETTLE_SECONDS = 1.5


class _CallFailed(Exception):
    """Stands in the base class for the errors of a reply that has not been decoded yet."""


class CallFuture(Future[T]):
    """A call on its way, and a future that is done when the controller has answered."""

    def __init__(
        self,
        connection: ControllerProxy,
        *,
        result_id: str | None,
        method: str,
        targets: list[int],
    ) -> None:
        super().__init__()
        self._connection = connection
        self._result_id, self._method, self._targets = result_id, method, targets
        #: What the controller has answered; None before that, and where it never will.
        self._reply: Reply | None = None
        #: Whether an engine is known to have begun.
        self._begun = False

    def set_result(self, result: Any) -> None:
        """Take the ``Reply`` to the call; for the ``ControllerProxy``, on its thread."""
        reply: Reply = result
        self._reply = reply
        if tells_failure(reply):
            super().set_exception(_CallFailed())
        else:
            super().set_result(cast(T, None))  # whoever asks gets the reply, decoded

    # -- identity -------------------------------------------------------------------------------

    @property
    def result_id(self) -> str | Any:
        """The id with which ``mec.pending_result`` finds the result, also from a new client.

        None for a map: its work ends with its client, so nobody else could ask for it. (The type
        is ``str | Any``, so that nobody needs to look for None who knows that it is no map.)
        """
        return self._result_id

    @property
    def method(self) -> str:
        """The name of the verb that made it."""
        return self._method

    @property
    def targets(self) -> list[int]:
        """The engines it was started on."""
        return list(self._targets)

    def __repr__(self) -> str:
        state = "done" if self.done() else "pending"
        where = ",".join(map(str, self._targets[:8])) + (",..." if len(self._targets) > 8 else "")
        found_by = f", result id {self.result_id}" if self.result_id else ""
        return f"<PendingResult {self._method} on engines [{where}]: {state}{found_by}>"

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None and self._result_id is not None:
            connection.release(self._result_id)

    # -- how far it is -----------------------------------------------------------------------------

    def running(self) -> bool:
        """Whether an engine has begun with it, and it has not ended.

        What still waits in queues is neither running nor done. The controller is asked, unless an
        engine is known to have begun.

        Example:
            >>> pending = mec.execute("a = 5", block=False)
            >>> pending.wait(timeout=10), pending.running()
            (True, False)
        """
        if not self.done() and not self._begun:
            self._begun = self._has_begun()
        return self._begun and not self.done()

    def _has_begun(self) -> bool:
        progress = self._ask_progress()
        return progress is not None and bool(progress["begun"])

    def failed(self) -> bool:
        """Whether it has ended with an error; decodes nothing."""
        return self.done() and super().exception(0) is not None

    def cancel(self, interrupt: bool = False) -> bool:
        """Drop what still waits in queues; with ``interrupt`` also interrupt what runs.

        On an engine where it is dropped the call fails with ``CancelledError``, where it is
        interrupted with KeyboardInterrupt. Where it has ended, nothing changes.

        Args:
            interrupt: Interrupt the engines that have begun.

        Returns:
            Whether the call was dropped or interrupted on at least one engine.

        Raises:
            ControllerUnreachable: the controller is gone or does not answer.

        Example:
            >>> pending = mec.execute("while True: pass", targets=0, block=False)
            >>> pending.cancel(interrupt=True)
            True
        """
        if self.done():
            return False
        return any(self._stop_work(interrupt=interrupt))

    @property
    def progress(self) -> tuple[int, int]:
        """How many engines are done, and how many there are."""
        total = len(self._targets)
        if self.done():
            return total, total
        value = self._ask_progress()
        return (total, total) if value is None else (value["done"], value["total"])

    @property
    def stdout(self) -> dict[int, str]:
        """What each engine has printed for this call so far; also what it has cleared since."""
        return self._printed("stdout")

    @property
    def stderr(self) -> dict[int, str]:
        """What each engine has written to stderr for this call so far: warnings, logging."""
        return self._printed("stderr")

    def _printed(self, stream: str) -> dict[int, str]:
        reply = None if self.done() else self._reply_about(str(self._result_id), brief=False)
        if reply is None or reply.header["value"] is None:
            return printed(self._parts(), stream)
        return printed(so_far(reply), stream)

    def _parts(self) -> list[Part]:
        """Each target's part of the reply; empty before it is there, or if it never comes."""
        return [] if self._reply is None else self._reply.parts()

    @property
    def outputs(self) -> list[tuple[int, list[JsonDict]]]:
        """Engine id and Jupyter outputs of each target, failed ones too; empty until it ends."""
        return [(part.result["id"], part.outputs.outputs()) for part in self._parts()]

    def timeline(self) -> Timeline:
        """What its engines have worked on for this call, and when: also while it runs.

        Returns:
            A list of ``Span``: of a map one for each batch. It shows as a picture.

        Raises:
            ControllerUnreachable: the controller is gone or does not answer.

        Example:
            >>> pending = mec.map(pow, [1, 2, 3, 4], [2, 2, 2, 2], chunksize=1, block=False)
            >>> _ = pending.wait(timeout=10)
            >>> {span.operation for span in pending.timeline()}
            {'map'}
        """
        from kernelfleet.client.results.timelines import ask_timeline

        return ask_timeline(self._connection, call=self._call_id)

    @property
    def _call_id(self) -> str:
        """The id that its spans have."""
        return str(self._result_id)

    def _ask_progress(self, *, where: bool = False) -> JsonDict | None:
        """How far it is: ``done``, ``total``, ``left``, ``begun``; None where nobody can say.

        Args:
            where: Also ask, as ``unheeded``, which calls its engines are in.
        """
        return self._ask_about(str(self._result_id), where=where)

    def _ask_about(self, result_id: str, *, where: bool = False) -> JsonDict | None:
        reply = self._reply_about(result_id, brief=True, where=where)
        value: JsonDict | None = None if reply is None else reply.header["value"]
        return value

    def _reply_about(self, result_id: str, *, brief: bool, where: bool = False) -> Reply | None:
        asked = {"result_id": result_id, "brief": brief}
        if where:
            asked["where"] = True
        with suppress(TimeoutError, ConnectionError):
            return self._connection.call("progress", PROGRESS_SECONDS, **asked)
        return None

    def _stop_work(self, *, interrupt: bool) -> tuple[list[int], list[int]]:
        """Drop what waits and interrupt what runs; on which engines."""
        reply = self._connection.call(
            "cancel", SETTLE_SECONDS, result_id=self._result_id, interrupt=interrupt
        )
        value = reply.header["value"]
        return value["dropped"], value["interrupted"]
