"""The verbs of single tasks: executor and pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kernelfleet.client.mapping.map_run import present
from kernelfleet.client.mapping.maps import MapVerbs
from kernelfleet.client.targets import Targets, check_targets

if TYPE_CHECKING:
    from kernelfleet.client.executor.executor import FleetExecutor
    from kernelfleet.client.executor.pool import FleetPool


class ExecutorVerbs(MapVerbs):
    """Executors and pools; see ``MultiEngineClient``."""

    def executor(
        self,
        *,
        targets: Targets | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        require: Mapping[str, Any] | None = None,
    ) -> FleetExecutor:
        """A ``concurrent.futures.Executor`` on these engines, load-balanced.

        ``submit``, ``map`` and the futures are those of the standard library. Each future keeps
        what its task printed in ``.stdout``. Interactive use of the engines goes on beside it:
        a task that waits behind somebody's command moves to an engine that is free, and engines
        that come with ``scale`` or ``restart`` take part (of those in ``targets``).

        ``retries``, ``timeout`` and ``require`` are for every task; ``submit`` takes them for one
        task, as keywords that the function itself does not have.

        Args:
            targets: Which engines; None takes the client's.
            retries: How often a task that raised, or whose engine died, is tried again; None is
                once after a death and never after an error.
            timeout: Seconds a task may run before it is interrupted and fails with
                ``TimeoutError``; the time it waits does not count. None means no limit.
            require: Properties an engine must have (``{'gpu': True}``, see ``set_properties``).

        Raises:
            NoEnginesRegistered: there is no engine.
            ValueError: an option makes no sense.

        Example:
            >>> with mec.executor() as executor:
            ...     futures = [executor.submit(pow, 2, n) for n in range(4)]
            ...     [future.result() for future in futures]
            [1, 2, 4, 8]
        """
        from kernelfleet.client.executor.executor import FleetExecutor
        from kernelfleet.client.executor.tasks import TaskOptions

        options = TaskOptions(retries=retries, timeout=timeout, require=require)
        wanted = self._targets if targets is None else check_targets(targets)
        ids, connection = self._map_targets(wanted, "an executor"), self._connection
        if isinstance(wanted, str | slice):
            here = slice(None) if isinstance(wanted, str) else wanted
            return FleetExecutor(self, lambda: connection.roster.ids[here], options)
        return FleetExecutor(self, present(connection, ids), options)

    def pool(self, *, targets: Targets | None = None) -> FleetPool:
        """The interface of ``multiprocessing.Pool`` on these engines, load-balanced.

        For libraries that take a pool: ``map``, ``starmap``, ``imap``, ``imap_unordered``,
        ``apply``, their ``_async`` forms, ``close``, ``terminate``, ``join``.

        Args:
            targets: Which engines; None takes the client's.

        Raises:
            NoEnginesRegistered: there is no engine.

        Example:
            >>> with mec.pool() as pool:
            ...     pool.map(abs, [-1, -2])
            [1, 2]
        """
        from kernelfleet.client.executor.pool import FleetPool

        return FleetPool(self, self._targets if targets is None else check_targets(targets))
