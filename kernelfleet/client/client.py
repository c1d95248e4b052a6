"""MultiEngineClient: steer a fleet of engines as if it were one interpreter.

The verbs that run code and manage the fleet. Those that move data are in ``data.py``, those that
label engines in ``properties.py``; where a call goes and whether it waits: ``base.py``.
"""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

from kernelfleet.client import shell as shells
from kernelfleet.client.connection import OnOutput
from kernelfleet.client.data import DataVerbs
from kernelfleet.client.maps import MapVerbs
from kernelfleet.client.pending import PendingResult
from kernelfleet.client.properties import PropertyVerbs
from kernelfleet.client.registration import wait_for_engines
from kernelfleet.client.source import read_script
from kernelfleet.client.targets import Targets, check_block, check_timeout
from kernelfleet.errors import CallTimeout, NotAPendingResult
from kernelfleet.results import EngineInfo

#: How long questions to the controller may take.
ASK_SECONDS = 30.0


class MultiEngineClient(DataVerbs, MapVerbs, PropertyVerbs):
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

    # -- execute --------------------------------------------------------------------------------

    def execute(
        self,
        code: str,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
        progress: bool | None = None,
    ) -> Any:
        """Run code on engines as IPython would: magics, ``!shell``, top-level ``await``.

        Args:
            code: One cell.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The work goes on after it.
            on_output: Called as ``on_output(engine_id, msg_type, content)`` with each Jupyter
                output message as it comes, on kernelfleet's own thread.
            progress: Show a bar if it takes long; None takes the client's.

        Returns:
            A ResultList of result dicts, in target order.

        Raises:
            CompositeError: it failed on one or more engines; it keeps the others' results.
            CallTimeout: ``timeout`` expired.
            InvalidEngineID: an engine is not there; nothing was sent.
        """
        if not isinstance(code, str):
            raise TypeError(f"code must be a str, not {type(code).__name__}")
        head = {"verb": "execute", "content": {"code": code}, "label": label(code)}
        blocks, ids = self._blocks(block, timeout), self._resolve(targets)
        if blocks and on_output is None and shells.shows_live():
            shows = self.progress if progress is None else check_block(progress, "progress")
            return shells.execute_live(self, code, ids, timeout, shows)
        return self._run(
            head, [], {"kind": "execute", "code": code},
            targets=ids, blocks=blocks, timeout=timeout, on_output=on_output,
            progress=progress,
        )  # fmt: skip

    def run(
        self,
        path: str | os.PathLike[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Run a local file on engines. It is read and compiled here first.

        Raises:
            OSError: the file cannot be read.
            SyntaxError: it does not compile; nothing was sent.
        """
        return self.execute(read_script(Path(path)), targets, block, timeout=timeout)

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
            {"verb": "get_result", "number": i}, [], {"kind": "history", "method": "get_result"},
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

    def engines(self) -> list[EngineInfo]:
        """What is known of each engine: state, process, memory, queue. Dead ones too."""
        rows = self._connection.call("engines", ASK_SECONDS).head["value"]
        return [EngineInfo.from_wire(row) for row in rows]

    def queue_status(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """``[(id, {'queue': [...], 'pending': ... or None}), ...]``, at once."""
        return self._control("queue_status", targets, block, timeout, kind="pairs")

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
            {"verb": verb, **fields}, [], {"kind": kind, "method": verb},
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
            {"verb": "scale", "engines": n}, [], {"kind": "value", "method": "scale"},
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
        shells.activate(self, suffix, shell)

    def _repr_html_(self) -> str:
        return str(shells.html().client(self))

    # -- pending results ------------------------------------------------------------------------

    def pending_result(self, result_id: str) -> PendingResult:
        """A result by its id, also one that another client, or an earlier notebook, asked for.

        Raises:
            InvalidDeferredID: when it is fetched: nobody knows the id.
        """
        if not isinstance(result_id, str):
            raise TypeError(f"a result id is a str, not {type(result_id).__name__}")
        pending = PendingResult(
            self._connection, self._reader,
            result_id=result_id, method="result", targets=[], decode=None,
        )  # fmt: skip
        head = {"type": "request", "verb": "attach", "of": result_id}
        self._connection.request(head, [], future=pending)
        return pending

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
            {"verb": "peek", "names": wanted}, [],
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


def label(code: str) -> str:
    """What ``queue_status`` shows of a command: ``execute('time.sleep(2)')``, cut to a line."""
    text = repr(code)
    return f"execute({text if len(text) <= 200 else text[:150] + '...' + text[-40:]})"
