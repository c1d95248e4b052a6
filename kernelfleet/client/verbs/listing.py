"""Which engines there are, and the end of the fleet: what the controller answers by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

from kernelfleet.client.base import BaseClient
from kernelfleet.client.registration import wait_for_engines
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import check_block
from kernelfleet.client.usage import measured
from kernelfleet.results import EngineInfo, EngineList

#: How long the controller may take to answer a question that involves no engine, in seconds.
ASK_SECONDS = 30.0


class ListingVerbs(BaseClient):
    """What is known of a fleet as a whole; see ``MultiEngineClient``. No engine is waited for."""

    # fmt: off
    @overload
    def get_ids(self, *, block: Literal[True] = ...) -> list[int]: ...
    @overload
    def get_ids(self, *, block: Literal[False]) -> PendingResult[list[int]]: ...
    @overload
    def get_ids(self, *, block: bool = ...) -> list[int] | PendingResult[list[int]]: ...
    # fmt: on
    def get_ids(self, *, block: bool = True) -> Any:
        """Ids of the registered engines, ascending. Dead ones are not among them.

        Args:
            block: Wait for the controller's answer, or return a PendingResult. The client's own
                ``block`` does not count here.

        Raises:
            ControllerUnreachable: the controller does not answer.

        Example:
            >>> mec.get_ids()
            [0, 1, 2, 3]
            >>> mec.get_ids(block=False).result(timeout=10)
            [0, 1, 2, 3]
        """
        connection = self._connection
        if not check_block(block):
            return self._ask_controller("ping", lambda _: list(connection.roster.ids))
        connection.call("ping", ASK_SECONDS)
        return list(connection.roster.ids)

    def __len__(self) -> int:
        return len(self.get_ids())

    def wait_for_engines(self, n: int, timeout: float | None = None) -> None:
        """Return when the fleet has at least ``n`` engines that take work.

        For a fleet that somebody else starts or scales. Whatever ``targets`` says, all engines
        count.

        Args:
            n: How many.
            timeout: Seconds to wait; None means no limit.

        Raises:
            CallTimeout: ``timeout`` expired; the message says how many there are.
            ControllerUnreachable: the fleet is gone, so no engine will come.
            ValueError: ``n`` is negative.

        Example:
            >>> mec.wait_for_engines(4, timeout=10)
        """
        wait_for_engines(self._connection, n, timeout)

    # fmt: off
    @overload
    def engines(self, *, cpu: bool = ..., block: Literal[True] = ...) -> EngineList: ...
    @overload
    def engines(self, *, cpu: bool = ...,
        block: Literal[False]) -> PendingResult[EngineList]: ...
    @overload
    def engines(self, *, cpu: bool = ...,
        block: bool = ...) -> EngineList | PendingResult[EngineList]: ...
    # fmt: on
    def engines(self, *, cpu: bool = False, block: bool = True) -> Any:
        """What is known of each engine: state, process, memory, queue. Dead ones too.

        Args:
            cpu: Also measure how busy each is (``cpu_percent``), which takes 0.2 s.
            block: Wait for the controller's answer, or return a PendingResult. The client's own
                ``block`` does not count here.

        Returns:
            A list of ``EngineInfo``, in the order of the ids, that shows as a table.

        Raises:
            ControllerUnreachable: the controller does not answer.
            ValueError: ``cpu`` is asked for with ``block=False``: to measure is to wait.

        Example:
            >>> [(engine.id, engine.state) for engine in mec.engines()]
            [(0, 'idle'), (1, 'idle'), (2, 'idle'), (3, 'idle')]
        """
        if not check_block(block):
            if cpu:
                raise ValueError("cpu=True measures for 0.2 s, and block=False is not to wait")
            return self._ask_controller("engines", _as_engines)
        return measured(self._ask_engines) if cpu else self._ask_engines()

    def _ask_engines(self) -> EngineList:
        return _as_engines(self._connection.call("engines", ASK_SECONDS).header["value"])

    def _ask_controller(
        self, operation: str, read: Callable[[Any], Any], **fields: Any
    ) -> PendingResult[Any]:
        """Ask the controller something that involves no engine, without waiting."""
        pending: PendingResult[Any] = self._run(
            {"operation": operation, **fields}, [], {"kind": "value", "method": operation},
            targets=[], blocks=False, timeout=None,
        )  # fmt: skip
        pending.add_callback(read)
        return pending

    # fmt: off
    @overload
    def stop_fleet(self, *, block: Literal[True] = ...) -> None: ...
    @overload
    def stop_fleet(self, *, block: Literal[False]) -> PendingResult[None]: ...
    @overload
    def stop_fleet(self, *, block: bool = ...) -> PendingResult[None] | None: ...
    # fmt: on
    def stop_fleet(self, *, block: bool = True) -> Any:
        """End the whole fleet: engines, controller, and everybody's client.

        Args:
            block: Wait until the controller has heard it, or return a PendingResult. The client's
                own ``block`` does not count here.

        Raises:
            ControllerUnreachable: the controller does not answer.
        """
        if not check_block(block):
            return self._ask_controller("shutdown", lambda _: None)
        self._connection.call("shutdown", ASK_SECONDS)
        return None


def _as_engines(rows: list[Any]) -> EngineList:
    return EngineList(map(EngineInfo.from_wire, rows))
