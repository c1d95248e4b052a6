"""MultiEngineClient: steer a fleet of engines as if it were one interpreter.

The verbs that manage the fleet. Those that run code are in ``code.py``, those that move data in
``data.py``, those that label engines in ``properties.py``; where a call goes and whether it waits:
``base.py``.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, SupportsIndex

from kernelfleet.client import frontend
from kernelfleet.client.code import CodeVerbs
from kernelfleet.client.controller_proxy import OnOutput
from kernelfleet.client.data import DataVerbs
from kernelfleet.client.mapping.maps import MapVerbs
from kernelfleet.client.properties import PropertyVerbs
from kernelfleet.client.registration import wait_for_engines
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets, check_timeout
from kernelfleet.client.usage import measured
from kernelfleet.errors.tree import CallTimeout, NotAPendingResult
from kernelfleet.results import EngineInfo, EngineList
from kernelfleet.wire.objects.references import register_by_value

#: How long questions to the controller may take.
ASK_SECONDS = 30.0


class MultiEngineClient(CodeVerbs, DataVerbs, MapVerbs, PropertyVerbs):
    """A client of a running fleet.

    Clients share engines and namespaces; each has its own ``block`` and ``targets``, which every
    verb's keywords of the same name override for one call. A client may be used from any thread.
    ``close`` and ``with`` end the client, not the fleet.

    Args:
        address: A fleet's name, ``(host, port)``, or the path of a connection file. None is the
            fleet named ``default``, else the only one running.

    Raises:
        FleetNotFound: there is no such fleet; the message says how to start one.
        ControllerUnreachable: its controller does not answer, or refuses the key.

    Attributes:
        block: Whether verbs wait and return their value (True), or return a PendingResult.
        targets: Which engines verbs go to: ``'all'``, an id, a sequence of ids, a slice.
    """

    # -- results ---------------------------------------------------------------------------------

    def get_result(
        self,
        i: SupportsIndex | None = None,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Command number ``i`` of each engine, whoever sent it; None is its latest finished one.

        Answered from the history at once, failed commands included.

        Raises:
            CompositeError: of ``IndexError``, where there is no such command or it was dropped.
        """
        i = None if i is None else _command_number(i)
        return self._run(
            {"operation": "get_result", "number": i}, [],
            {"kind": "history", "method": "get_result"},
            targets=self._resolve(targets), blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

    # -- the fleet ------------------------------------------------------------------------------

    def get_ids(self) -> list[int]:
        """Ids of the registered engines, ascending."""
        self._connection.call("ping", ASK_SECONDS)
        return list(self._connection.roster.ids)

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
        """
        wait_for_engines(self._connection, n, timeout)

    def engines(self, *, cpu: bool = False) -> EngineList:
        """What is known of each engine: state, process, memory, queue. Dead ones too.

        Args:
            cpu: Also measure how busy each is (``cpu_percent``), which takes 0.2 s.

        Returns:
            A list of ``EngineInfo``, in the order of the ids, that shows as a table.
        """
        return measured(self._ask_engines) if cpu else self._ask_engines()

    def _ask_engines(self) -> EngineList:
        rows = self._connection.call("engines", ASK_SECONDS).header["value"]
        return EngineList(map(EngineInfo.from_wire, rows))

    def queue_status(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """``[(id, {'queue': [...], 'pending': ... or None}), ...]``, at once.

        Each entry is a text, such as ``execute('time.sleep(2)')``, with a ``result_id``, which its
        repr shows: ``mec.pending_result`` and ``%fleet attach`` take it.
        """
        return self._control("queue_status", targets, block, timeout, kind="queue")

    def clear_queue(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Drop what waits in the engines' queues, whoever queued it; what runs goes on."""
        return self._control("clear_queue", targets, block, timeout)

    def interrupt(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Interrupt the command each engine runs, whoever sent it; idle engines are left alone."""
        return self._control("interrupt", targets, block, timeout)

    def restart(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Start engines afresh under their ids, dead ones too; returns when they answer."""
        return self._control("restart", targets, block, timeout, allow_dead=True)

    def kill(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """End engines for good; their ids may be given to new ones."""
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
        **fields: Any,
    ) -> Any:
        """A verb the controller answers beside the queues, one result per target."""
        return self._run(
            {"operation": verb, **fields}, [], {"kind": kind, "method": verb},
            targets=self._resolve(targets, allow_dead=allow_dead),
            blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

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

        Returns:
            The ids of the engines there are then.
        """
        return self._run(
            {"operation": "scale", "engines": n}, [], {"kind": "value", "method": "scale"},
            targets=[], blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

    def stop_fleet(self) -> None:
        """End the whole fleet: engines, controller, and everybody's client."""
        self._connection.call("shutdown", ASK_SECONDS)

    # -- IPython --------------------------------------------------------------------------------

    def activate(self, suffix: str = "", shell: Any = None) -> None:
        """Have ``%px``, ``%%px``, ``%autopx`` and ``%result`` serve this client.

        The client activated last has them.

        Args:
            suffix: Magics of its own, for several clients: ``'gpu'`` gives ``%pxgpu``.
            shell: An IPython shell; None is the one that runs here.
        """
        frontend.current(shell).activate(self, suffix, shell)

    def _repr_html_(self) -> str:
        from kernelfleet.display import html

        if not self._connection.is_open:
            return html.plain(repr(self))
        engines, fleet = self.engines(cpu=True), self._connection.fleet.get("name", "?")
        return html.fleet(fleet, engines, f"targets={self.targets}, block={self.block}")

    # -- pending results ------------------------------------------------------------------------

    def pending_result(self, result_id: str) -> PendingResult:
        """A result by its id, also one that another client, or an earlier notebook, asked for.

        Raises:
            InvalidDeferredID: when it is fetched: nobody knows the id.
        """
        if not isinstance(result_id, str):
            raise TypeError(f"a result id is a str, not {type(result_id).__name__}")
        return self._attach(result_id, None)

    def _attach(self, result_id: str, on_output: OnOutput | None) -> PendingResult:
        """A result by its id; ``on_output`` gets what it has shown so far and what it shows on."""
        asked = self._connection.call("progress", ASK_SECONDS, result_id=result_id, brief=True)
        describe = asked.header.get("describe") or {}
        pending = PendingResult(
            self._connection, self._reader,
            result_id=result_id, method=str(describe.get("operation", "result")),
            targets=list(describe.get("targets") or ()), decode=None,
        )  # fmt: skip
        header: dict[str, Any] = {"type": "request", "operation": "attach", "of": result_id}
        if on_output is not None:
            header["stream"] = True
        self._connection.request(header, [], on_output, future=pending)
        return pending

    def register_by_value(self, module: ModuleType | str) -> None:
        """Let the functions and classes of a module travel by value, as those of a notebook do.

        For modules that engines cannot import, or whose functions are to see the engines'
        variables. It holds for this process and all of its clients; the same as
        ``cloudpickle.register_pickle_by_value``, which ``unregister_pickle_by_value`` takes back.

        Args:
            module: The module, or its name; its submodules are included.

        Raises:
            TypeError: it is no module.
            ImportError: there is none of that name.

        Example::

            import helpers
            mec.register_by_value(helpers)
            mec.map(helpers.work, range(10))
        """
        register_by_value(module)

    def barrier(
        self,
        pending_results: PendingResult | Iterable[PendingResult] | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        """Wait until results are there, good or bad; their errors come when they are fetched.

        Args:
            pending_results: One, any iterable, or None for all outstanding of this client.
            timeout: Seconds for all together; None means no limit.

        Raises:
            NotAPendingResult: something else was given.
            CallTimeout: ``timeout`` expired; ``.pending_result`` is the first that had not ended.
        """
        timeout = check_timeout(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        for pending in self._as_pending(pending_results):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not pending.wait(left):
                text = f"{pending.method} has not ended after {timeout:g} s; the work goes on"
                raise CallTimeout(text, pending_result=pending)

    def _as_pending(
        self, given: PendingResult | Iterable[PendingResult] | None
    ) -> list[PendingResult]:
        if given is None:
            return list(self._outstanding.values())
        try:
            results = [given] if isinstance(given, PendingResult) else list(given)
        except TypeError:
            raise NotAPendingResult(f"barrier waits for PendingResults, not {given!r}") from None
        for each in results:
            if not isinstance(each, PendingResult):
                raise NotAPendingResult(f"barrier waits for PendingResults, not {each!r}")
        return results

    def flush(self) -> None:
        """Forget results not yet fetched, not the work; fetching one raises InvalidDeferredID."""
        for pending in list(self._unfetched):
            pending.flush()
        self._unfetched.clear()

    def peek(
        self,
        names: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Read variables at once, also from an engine that is busy.

        What it shows of an object that is just being changed is undefined; while C code holds
        the engine's GIL it cannot answer.

        Returns:
            As ``pull``.
        """
        wanted = self._names(names)
        return self._run(
            {"operation": "peek", "names": wanted}, [],
            {"kind": "peek", "names": wanted, "method": "peek"},
            targets=self._resolve(targets), blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip


def _command_number(i: Any) -> int:
    """Any integer but a bool, numpy's too; whether there is such a command the engine knows."""
    if isinstance(i, bool):
        raise TypeError(f"a command number is an int, not {i!r}")
    try:
        return operator.index(i)
    except TypeError:
        raise TypeError(f"a command number is an int, not {i!r}") from None
