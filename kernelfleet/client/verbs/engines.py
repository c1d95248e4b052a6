"""The engines themselves: what they do, and how they are stopped and started."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, overload

from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets, check_count
from kernelfleet.client.verbs.listing import ListingVerbs
from kernelfleet.results import QueueEntry


class EngineQueue(TypedDict):
    """What ``queue_status`` tells of one engine."""

    #: What waits, in the order in which it will run.
    queue: list[QueueEntry]
    #: What runs; None if nothing does.
    pending: QueueEntry | None


QueueStatus = tuple[int, EngineQueue]


class EngineVerbs(ListingVerbs):
    """Managing engines; see ``MultiEngineClient``. No engine is waited for."""

    # fmt: off
    @overload
    def queue_status(self, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[QueueStatus] | Any: ...
    @overload
    def queue_status(self, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[QueueStatus]: ...
    @overload
    def queue_status(self, targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[QueueStatus]]: ...
    @overload
    def queue_status(self, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[QueueStatus] | Any: ...
    # fmt: on
    def queue_status(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """What each engine runs and what waits for it, at once.

        Args:
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            One pair per target, in target order: the id, and a dict with the entries that wait
            under ``'queue'`` and the one that runs, or None, under ``'pending'``. An entry is a
            text such as ``execute('time.sleep(2)')``, with a ``result_id`` that
            ``mec.pending_result`` and ``%fleet attach`` take.

        Raises:
            CallTimeout: ``timeout`` expired.

        Example:
            >>> mec.queue_status(targets=[0, 1])
            [(0, {'queue': [], 'pending': None}), (1, {'queue': [], 'pending': None})]
        """
        return self._control("queue_status", targets, block, timeout, kind="queue")

    # fmt: off
    @overload
    def clear_queue(self, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def clear_queue(self, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[None]: ...
    @overload
    def clear_queue(self, targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def clear_queue(self, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def clear_queue(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Drop what waits in the engines' queues, whoever queued it; what runs goes on.

        What is dropped fails with ``QueueCleared``.

        Args:
            targets: Which engines; None takes the client's.
            block: Wait until it is done, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            CallTimeout: ``timeout`` expired.

        Example:
            >>> mec.clear_queue()
            [None, None, None, None]
        """
        return self._control("clear_queue", targets, block, timeout)

    # fmt: off
    @overload
    def interrupt(self, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def interrupt(self, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[None]: ...
    @overload
    def interrupt(self, targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def interrupt(self, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def interrupt(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Interrupt the command each engine runs, whoever sent it; idle engines are left alone.

        The command fails with KeyboardInterrupt, and what the same client has queued behind it is
        dropped, as after any failed command.

        Args:
            targets: Which engines; None takes the client's.
            block: Wait until the interrupts are sent, or return a PendingResult; None takes the
                client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            CallTimeout: ``timeout`` expired.

        Example:
            >>> pending = mec.execute("while True: pass", targets=2, block=False)
            >>> mec.interrupt(targets=2)
            [None]
            >>> pending.exception(timeout=10).elist[0][0].__name__
            'RemoteError'
        """
        return self._control("interrupt", targets, block, timeout)

    # fmt: off
    @overload
    def restart(self, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def restart(self, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[None]: ...
    @overload
    def restart(self, targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def restart(self, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def restart(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Start engines afresh under their ids, dead ones too.

        What they run and what waits for them fails. Variables, histories and properties of these
        engines are lost; ``on_start`` code of the fleet runs again.

        Args:
            targets: Which engines; None takes the client's. ``'all'`` includes dead ones.
            block: Wait until they answer, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The start goes on after it.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            CompositeError: of ``StartError``, where an engine did not come up again.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> mec.restart(3, timeout=60)
            [None]
        """
        return self._control("restart", targets, block, timeout, allow_dead=True)

    # fmt: off
    @overload
    def kill(self, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def kill(self, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[None]: ...
    @overload
    def kill(self, targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def kill(self, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def kill(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """End engines for good, whatever they run; their ids may be given to new ones.

        Args:
            targets: Which engines; None takes the client's.
            block: Wait until they have ended, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. They end all the same.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            CallTimeout: ``timeout`` expired.

        Example:
            >>> mec.kill(3)
            [None]
            >>> mec.get_ids()
            [0, 1, 2]
            >>> mec.scale(4)
            [0, 1, 2, 3]
        """
        return self._control("kill", targets, block, timeout)

    def _control(
        self,
        verb: str,
        targets: Targets | None,
        block: bool | None,
        timeout: float | None,
        *,
        kind: str = "none",
        allow_dead: bool = False,
    ) -> Any:
        """A verb that the controller answers without queueing it, one result per target."""
        return self._run(
            {"operation": verb}, [], {"kind": kind, "method": verb},
            targets=self._resolve(targets, allow_dead=allow_dead),
            blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

    # fmt: off
    @overload
    def scale(self, n: int, block: None = ..., *,
        timeout: float | None = ...) -> list[int] | Any: ...
    @overload
    def scale(self, n: int, block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[int]: ...
    @overload
    def scale(self, n: int, block: Literal[False] = ...) -> PendingResult[list[int]]: ...
    @overload
    def scale(self, n: int, block: bool | None = ..., *,
        timeout: float | None = ...) -> list[int] | Any: ...
    # fmt: on
    def scale(
        self,
        n: int,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Have ``n`` engines: start some, or end those of the highest ids.

        An engine that is to end gets no new work, and ends when it has done what it was given:
        nothing is lost, and ids stay as they are.

        Args:
            n: How many engines there shall be, at least one.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The fleet is scaled all the same.

        Returns:
            The ids of the engines there are then, ascending.

        Raises:
            StartError: an engine did not come up.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> mec.scale(5)
            [0, 1, 2, 3, 4]
            >>> mec.scale(4)
            [0, 1, 2, 3]
        """
        n = check_count(n, 1, "a fleet has at least one engine")
        return self._run(
            {"operation": "scale", "engines": n}, [], {"kind": "value", "method": "scale"},
            targets=[], blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip
