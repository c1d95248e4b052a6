"""FleetBackend: joblib's interface of a backend, on an executor of the fleet.

joblib makes batches of small tasks and asks for one future per batch. Large arguments, such as the
data that scikit-learn passes to each fit, travel once to each engine for a whole call, and stay in
the client's memory for as long.
"""

# mypy: allow-untyped-calls, allow-subclassing-any
# joblib ships no types

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from typing import Any
from weakref import WeakKeyDictionary

from joblib._parallel_backends import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    ThreadingBackend,
)

from kernelfleet.client import access
from kernelfleet.client.client import MultiEngineClient
from kernelfleet.client.executor.executor import FleetExecutor
from kernelfleet.client.fleet import Fleet
from kernelfleet.here import this_engine
from kernelfleet.joblib.large_arguments import Keeper
from kernelfleet.joblib.pace import Pace
from kernelfleet.joblib.worker import call, ready

#: The engines that have been asked to import joblib, by client.
_ready: WeakKeyDictionary[MultiEngineClient, set[int]] = WeakKeyDictionary()
#: Options of joblib's own backends, which programs that are moved here may still give.
JOBLIBS_OWN = frozenset(
    {"mmap_mode", "temp_folder", "max_nbytes", "idle_worker_timeout", "context", "verbose"}
)


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
        options: Options of joblib's own backends, which are of no use here: ``mmap_mode``,
            ``temp_folder``, ``max_nbytes``, ``idle_worker_timeout``, ``context``.

    Raises:
        TypeError: there is no such option, or ``fleet`` is none.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False
    uses_threads = False
    default_n_jobs = -1
    _effective_batch_size: int

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
        _check(fleet, options)
        super().__init__(
            nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **options
        )
        self._fleet, self._wanted, self._retries = fleet, targets, retries
        self._initializer, self._initargs = initializer, initargs
        self._pace = Pace()
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
        if self._fleet is None and self.nesting_level and this_engine() is not None:
            # A task names this backend: it shares its engine with nobody, and gets threads, as
            # any Parallel within a task.
            raise FallbackToBackend(ThreadingBackend(nesting_level=self.nesting_level))
        if self._user is not None and self._user is not parallel:
            raise FallbackToBackend(self._for_another_call())
        count = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        self._n_jobs = n_jobs
        self._keeper = Keeper(self._mec, self._targets)
        self._have_joblib_imported()
        initializer = initializer or self._initializer
        if initializer is not None:
            arguments = [*(initargs or self._initargs)]
            self._mec.apply(initializer, *arguments, targets=self._chosen())
        self._start()
        self._user = parallel
        return count

    def _have_joblib_imported(self) -> None:
        """Have engines that are new to this client import joblib in a request of its own."""
        known = _ready.setdefault(self._mec, set())
        known -= set(access.dead_engine_ids(self._mec))
        new = sorted(set(self._engines()) - known)
        if new:
            self._mec.apply(ready, targets=new, block=False)
            known.update(new)

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
        batch, travelling_bytes = keeper.without_large(func)
        self._pace.weigh(len(func), travelling_bytes)
        return executor.submit_task(call, (batch, self.inner_max_num_threads))

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The values of a batch, or its error."""
        seconds, values = out.result()
        self._pace.record(len(values), seconds)
        return values

    # -- the size of batches --------------------------------------------------------------------

    def compute_batch_size(self) -> int:
        """How many tasks the next batch has, by what engines have told of the ones before."""
        size = self._pace.size
        if size != self._effective_batch_size and self.parallel.verbose >= 10:
            self.parallel._print(f"Batches had {self._effective_batch_size} tasks, have now {size}")
        self._effective_batch_size = size
        return size

    def batch_completed(self, batch_size: int, duration: float) -> None:
        """Hand over what joblib has cut into batches already, if that is done soon.

        joblib cuts what is left at the end into ten batches per job and hands one over for each
        that is done. Of quick tasks these would be forty requests; the executor sends several
        batches with one. No more is taken from the user's iterator: joblib's ``pre_dispatch``
        bounds that. (joblib's ``duration`` is that since the batch was handed over, so not used.)
        """
        parallel = self.parallel
        ready = getattr(parallel, "_ready_batches", None)
        if ready is None or not self._pace.is_quick(batch_size):
            return
        if ready.qsize() < parallel._cached_effective_n_jobs:
            return  # what is cut before the end is one batch per job
        with parallel._lock:
            while parallel._original_iterator is not None and not ready.empty():
                parallel.dispatch_next()

    def reset_batch_stats(self) -> None:
        """Forget how long tasks take."""
        super().reset_batch_stats()
        self._pace = Pace()

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


def _check(fleet: object, options: dict[str, Any]) -> None:
    unknown = sorted(set(options) - JOBLIBS_OWN)
    if unknown:
        ours = "fleet, targets, retries, inner_max_num_threads, initializer, initargs"
        raise TypeError(f"the backend has no option {unknown[0]!r}: its options are {ours}")
    if fleet is not None and not isinstance(fleet, str | MultiEngineClient | Fleet):
        kind = type(fleet).__name__
        raise TypeError(f"fleet is a client, a Fleet or the name of a fleet, not {kind}")
