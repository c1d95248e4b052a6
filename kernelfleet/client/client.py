"""MultiEngineClient: steer a fleet of engines as if it were one interpreter.

Its verbs are in ``verbs/``, one module per part; ``map`` is in ``mapping/``, and what is for single
tasks in ``executor/``. Where a call goes and whether it waits is decided in ``base.py``. Here is
what is left: results of earlier commands and of other clients, and the magics.
"""

from __future__ import annotations

import operator
from types import ModuleType
from typing import Any, Literal, SupportsIndex, overload

from kernelfleet.client import frontend
from kernelfleet.client.controller_proxy import OnOutput
from kernelfleet.client.executor.verbs import ExecutorVerbs
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets
from kernelfleet.client.verbs.code import CodeVerbs
from kernelfleet.client.verbs.engines import EngineVerbs
from kernelfleet.client.verbs.ipython1 import IPython1Verbs
from kernelfleet.client.verbs.listing import ASK_SECONDS
from kernelfleet.client.verbs.properties import PropertyVerbs
from kernelfleet.client.verbs.scattering import ScatteringVerbs
from kernelfleet.client.verbs.timeline import TimelineVerbs
from kernelfleet.results import ResultList
from kernelfleet.wire.objects.references import register_by_value


class MultiEngineClient(
    CodeVerbs,
    ScatteringVerbs,
    EngineVerbs,
    TimelineVerbs,
    PropertyVerbs,
    IPython1Verbs,
    ExecutorVerbs,
):
    """A client of a running fleet: runs code on its engines, moves data, maps functions.

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
        progress: Whether blocking calls that take long show a bar, where somebody watches.

    Example:
        >>> from kernelfleet import MultiEngineClient
        >>> with MultiEngineClient("shared") as client:
        ...     client.push({"a": 5}, targets=[0, 1])
        ...     client.execute("a + engine_id", targets=1)[0].value
        [None, None]
        6
    """

    # -- results ---------------------------------------------------------------------------------

    # fmt: off
    @overload
    def get_result(self, i: SupportsIndex | None = ..., targets: Targets | None = ...,
        block: None = ..., *, timeout: float | None = ...) -> ResultList | Any: ...
    @overload
    def get_result(self, i: SupportsIndex | None = ..., targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> ResultList: ...
    @overload
    def get_result(self, i: SupportsIndex | None = ..., targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[ResultList]: ...
    @overload
    def get_result(self, i: SupportsIndex | None = ..., targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> ResultList | Any: ...
    # fmt: on
    def get_result(
        self,
        i: SupportsIndex | None = None,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """A command that each engine has run, whoever sent it, failed ones included.

        It is answered from the history at once, also while an engine is busy.

        Args:
            i: The command's number, as in ``In [3]``; None is each engine's latest finished one.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            A ``ResultList``: one result per target, in target order.

        Raises:
            CompositeError: of ``IndexError``, where there is no such command or it was dropped.
            TypeError: ``i`` is no integer.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> _ = mec.execute("a = 5", targets=0)
            >>> [result] = mec.get_result(targets=0)
            >>> result["input"]["raw"], result["number"]
            ('a = 5', 1)
        """
        i = None if i is None else _command_number(i)
        return self._run(
            {"operation": "get_result", "number": i}, [],
            {"kind": "history", "method": "get_result"},
            targets=self._resolve(targets), blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

    # -- IPython --------------------------------------------------------------------------------

    def activate(self, suffix: str = "", shell: Any = None) -> None:
        """Have ``%px``, ``%%px``, ``%autopx`` and ``%result`` serve this client.

        The client activated last has them.

        Args:
            suffix: Magics of its own, for several clients: ``'gpu'`` gives ``%pxgpu``.
            shell: An IPython shell; None is the one that runs here.

        Raises:
            FleetError: no IPython is running here.

        Example:
            >>> from IPython.core.interactiveshell import InteractiveShell
            >>> mec.activate(shell=InteractiveShell())
        """
        frontend.current(shell).activate(self, suffix, shell)

    def _repr_html_(self) -> str:
        from kernelfleet.display import html

        if not self._connection.is_open:
            return html.plain(repr(self))
        engines, fleet = self.engines(cpu=True), self._connection.fleet.get("name", "?")
        return html.fleet(fleet, engines, f"targets={self.targets}, block={self.block}")

    # -- pending results ------------------------------------------------------------------------

    def pending_result(self, result_id: str) -> PendingResult[Any]:
        """A result by its id, also one that another client, or an earlier notebook, asked for.

        Args:
            result_id: What ``PendingResult.result_id``, ``queue_status`` or ``engines`` tells.

        Returns:
            A PendingResult of the same work: it can be waited for, fetched and cancelled.

        Raises:
            InvalidDeferredID: when it is fetched: nobody knows the id.
            TypeError: the id is no string.
            ControllerUnreachable: the controller does not answer.

        Example:
            >>> pending = mec.apply(pow, 2, 5, targets=0, block=False)
            >>> mec.pending_result(pending.result_id).result(timeout=10)
            [32]
        """
        if not isinstance(result_id, str):
            raise TypeError(f"a result id is a str, not {type(result_id).__name__}")
        return self._attach(result_id, None)

    def _attach(self, result_id: str, on_output: OnOutput | None) -> PendingResult[Any]:
        """A result by its id; ``on_output`` gets what it has shown so far and what it shows on."""
        asked = self._connection.call("progress", ASK_SECONDS, result_id=result_id, brief=True)
        describe = asked.header.get("describe") or {}
        pending: PendingResult[Any] = PendingResult(
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

        Example:
            >>> import helpers
            >>> mec.register_by_value(helpers)
            >>> mec.map(helpers.work, [1, 2, 3])
            [2, 4, 6]
        """
        register_by_value(module)


def _command_number(i: Any) -> int:
    """Any integer but a bool, numpy's too; whether there is such a command the engine knows."""
    if isinstance(i, bool):
        raise TypeError(f"a command number is an int, not {i!r}")
    try:
        return operator.index(i)
    except TypeError:
        raise TypeError(f"a command number is an int, not {i!r}") from None
