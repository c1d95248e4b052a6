"""FleetBackend: joblib's interface of a backend, on an executor of the fleet.

joblib makes batches of small tasks and asks for one future per batch. Large arguments, such as the
data that scikit-learn passes to each fit, travel once to each engine for a whole call, and stay in
the client's memory for as long.
"""

# mypy: allow-untyped-calls, allow-subclassing-any
# joblib ships no types

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from typing import Any

from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase

from kernelfleet.client import access
from kernelfleet.client.client import MultiEngineClient
from kernelfleet.client.executor.executor import FleetExecutor
from kernelfleet.joblib.worker import KeptValue, call, drop, keep

#: Arguments from this size on travel once per engine.
LARGE_BYTES = 1024 * 1024


class FleetBackend(AutoBatchingMixin, ParallelBackendBase):
    """joblib's tasks on the engines of a fleet.

    Args:
        fleet: A client of the fleet (or the ``Fleet``, or a fleet's name); None is the only one
            that runs.
        targets: Which engines; None takes the client's.
        retries: How often a batch whose engine died runs again elsewhere.
        nesting_level: joblib's.
        inner_max_num_threads: joblib's: the most threads of BLAS and OpenMP in a task.
        initializer: Called on each engine before each call of Parallel.
        initargs: With these arguments.
        options: Options of joblib that are of no use here, such as ``mmap_mode``.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False
    uses_threads = False
    default_n_jobs = -1

    def __init__(
        self,
        fleet: Any = None,
        *,
        targets: Any = None,
        retries: int | None = None,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        **options: Any,
    ) -> None:
        super().__init__(
            nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **options
        )
        self._fleet, self._wanted, self._retries = fleet, targets, retries
        self._initializer, self._initargs = initializer, initargs
        #: The call of Parallel that uses this backend, until it ends.
        self._user: Any = None
        self._client: MultiEngineClient | None = None
        self._keeper: Keeper | None = None
        self._executor: FleetExecutor | None = None

    @property
    def _mec(self) -> MultiEngineClient:
        """The client; one of our own is made for each call of Parallel."""
        if isinstance(self._fleet, MultiEngineClient):
            return self._fleet
        if self._client is None:
            named = self._fleet is None or isinstance(self._fleet, str)
            self._client = MultiEngineClient(self._fleet) if named else self._fleet.client()
        return self._client

    @property
    def _targets(self) -> Any:
        return self._mec.targets if self._wanted is None else self._wanted

    # -- how many -------------------------------------------------------------------------------

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many tasks run at once: as many as asked for, at most as many as engines."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        count = len(self._engines())
        if n_jobs is None:
            return 1
        return max(count + 1 + n_jobs, 1) if n_jobs < 0 else min(n_jobs, count)

    def _engines(self) -> list[int]:
        return access.resolve_targets(self._mec, self._targets)

    def configure(
        self,
        n_jobs: int | None = 1,
        parallel: Any = None,
        prefer: Any = None,
        require: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        **_options: Any,
    ) -> int:
        """Be ready for a call of Parallel; an initializer runs once on each engine before it.

        Within one ``parallel_config`` joblib has the same backend for all calls of Parallel. Those
        that return generators may go on at the same time, or in turn; then each gets its own.
        """
        if self._user is not None and self._user is not parallel:
            raise FallbackToBackend(self._for_another_call())
        count = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        self._n_jobs = n_jobs
        self._keeper = Keeper(self._mec, self._targets)
        initializer = initializer or self._initializer
        if initializer is not None:
            arguments = [*(initargs or self._initargs)]
            self._mec.apply(initializer, *arguments, targets=self._chosen())
        self._start()
        self._user = parallel
        return count

    def _for_another_call(self) -> FleetBackend:
        other = copy.copy(self)
        other._user = other._client = other._keeper = other._executor = None
        other.reset_batch_stats()
        return other

    def _chosen(self) -> Any:
        """The engines that get tasks: fewer than the targets if fewer jobs are asked for."""
        engines = self._engines()
        if self._n_jobs is None or 0 < self._n_jobs < len(engines):
            return engines[: self.effective_n_jobs(self._n_jobs)]
        return self._targets

    def _start(self) -> None:
        self._executor = self._mec.executor(targets=self._chosen(), retries=self._retries)

    def start_call(self) -> None:
        """A call begins, perhaps not the first of its Parallel: arrays may have changed since."""
        if self._keeper is not None:
            self._keeper.drop_all()

    # -- tasks ----------------------------------------------------------------------------------

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """Send a batch of tasks; ``callback`` gets its future when it is done.

        joblib calls this in the callback of an earlier batch, too, where nobody would hear an
        exception: whatever keeps a batch from being sent is the result of its future.
        """
        try:
            future = self._sent(func)
        except Exception as error:  # noqa: BLE001 (joblib raises it in the user's thread)
            future = Future()
            future.set_exception(error)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def _sent(self, func: Any) -> Future[Any]:
        executor, keeper = self._executor, self._keeper
        if executor is None or keeper is None:
            raise CancelledError("this call of Parallel has ended")
        batch = keeper.without_large(func)
        limit = self.inner_max_num_threads
        if limit is None:
            return executor.submit_task(batch)
        return executor.submit_task(call, (batch, limit))

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The values of a batch, or its error."""
        return out.result()

    # -- ending ---------------------------------------------------------------------------------

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Drop what waits and interrupt what runs; be ready again if that is wanted."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.abort()
        if ensure_ready:
            self._start()

    def terminate(self) -> None:
        """The call has ended; the next one may have tasks of another duration."""
        self.reset_batch_stats()
        self._user = None
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
        if self._keeper is not None:
            self._keeper.drop_all()
        client, self._client = self._client, None
        if client is not None:
            client.close()


class Keeper:
    """Sends large arguments once to each engine.

    Args:
        mec: The client that sends them.
        targets: The engines.
    """

    def __init__(self, mec: MultiEngineClient, targets: Any) -> None:
        self._mec, self._targets = mec, targets
        #: By the identity of a value: the value, which lives as long, and its key.
        self._sent: dict[int, tuple[Any, str]] = {}

    def without_large(self, batch: Any) -> Any:
        """A batch of joblib with keys in the places of large arguments."""
        items = getattr(batch, "items", None)
        if not isinstance(items, list) or not any(_large_among(*each) for each in items):
            return batch
        slim = copy.copy(batch)
        slim.items = [
            (
                function,
                tuple(map(self._slim, args)),
                {name: self._slim(value) for name, value in kwargs.items()},
            )
            for function, args, kwargs in items
        ]
        return slim

    def _slim(self, value: Any) -> Any:
        if size_of(value) < LARGE_BYTES:
            return value
        if id(value) not in self._sent:
            key = uuid.uuid4().hex
            # In the queue of each engine it comes before the tasks, which are sent later.
            self._mec.apply(keep, key, value, targets=self._targets, block=False)
            self._sent[id(value)] = value, key
        return KeptValue(self._sent[id(value)][1])

    def drop_all(self) -> None:
        """Have the engines let everything go."""
        keys = [key for _, key in self._sent.values()]
        self._sent.clear()
        if keys and self._engines_live():
            self._mec.apply(drop, keys, targets=self._targets, block=False)

    def _engines_live(self) -> bool:
        try:
            return bool(self._mec.get_ids())
        except ConnectionError:
            return False


def _large_among(_function: Any, args: Iterable[Any], kwargs: dict[str, Any]) -> bool:
    return any(size_of(value) >= LARGE_BYTES for value in [*args, *kwargs.values()])


def size_of(value: Any) -> int:
    """The bytes of an array, a data frame or a sparse matrix; 0 of anything else."""
    package = type(value).__module__.partition(".")[0]
    if package == "numpy":
        return int(getattr(value, "nbytes", 0))
    if package == "pandas" and hasattr(value, "memory_usage"):
        usage = value.memory_usage()
        return int(getattr(usage, "sum", lambda: usage)())
    if package == "scipy" and hasattr(value, "data"):
        return int(getattr(value.data, "nbytes", 0))
    if package == "polars" and hasattr(value, "estimated_size"):
        return int(value.estimated_size())
    if package == "pyarrow":
        return int(getattr(value, "nbytes", 0))
    return 0
