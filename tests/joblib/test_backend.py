"""joblib's Parallel on a fleet, against joblib itself and scikit-learn."""

from __future__ import annotations

import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

joblib = pytest.importorskip("joblib")

import kernelfleet.joblib  # noqa: E402
from kernelfleet import Fleet, MultiEngineClient  # noqa: E402
from kernelfleet.errors import SerializationError  # noqa: E402
from kernelfleet.joblib.backend import FleetBackend  # noqa: E402
from tests.fleets import eventually  # noqa: E402
from tests.gate import Gate  # noqa: E402

Parallel, delayed = joblib.Parallel, joblib.delayed

pytestmark = pytest.mark.parametrize("transport", ["embedded"])


@pytest.fixture(autouse=True)
def _one_transport(transport: str) -> None:
    """Nothing here depends on it."""


def square(x: int) -> int:
    return x * x


@pytest.fixture
def parallel(mec: MultiEngineClient) -> Callable[..., Any]:
    """``Parallel`` on the fleet."""

    def call(tasks: Any, n_jobs: int = -1, **options: Any) -> Any:
        with joblib.parallel_config("kernelfleet", fleet=mec):
            return Parallel(n_jobs=n_jobs, **options)(tasks)

    return call


def test_values_come_in_order_from_engines(
    parallel: Callable[..., Any], mec: MultiEngineClient
) -> None:
    assert parallel(delayed(square)(i) for i in range(200)) == [i * i for i in range(200)]
    pids = set(mec.apply(os.getpid))
    assert set(parallel(delayed(os.getpid)() for _ in range(8))) <= pids
    assert parallel([]) == []


def test_as_many_tasks_run_at_once_as_jobs_are_asked_for(
    parallel: Callable[..., Any], mec: MultiEngineClient
) -> None:
    assert len(set(parallel((delayed(os.getpid)() for _ in range(6)), n_jobs=1))) == 1
    found = set(parallel((delayed(os.getpid)() for _ in range(8)), n_jobs=2, batch_size=1))
    assert found <= set(mec.apply(os.getpid, targets=[0, 1]))
    with joblib.parallel_config("kernelfleet", fleet=mec):
        assert joblib.effective_n_jobs(-1) == 4
        assert joblib.effective_n_jobs(-2) == 3
        assert joblib.effective_n_jobs(99) == 4


def test_values_can_be_taken_as_they_come(parallel: Callable[..., Any], gate: Gate) -> None:
    def run(number: int, code: str) -> int:
        exec(code)
        return number

    tasks = [delayed(run)(number, code) for number, code in ((1, "0"), (2, "0"), (3, "0"))]
    assert list(parallel(tasks, batch_size=1, return_as="generator")) == [1, 2, 3]
    tasks[0] = delayed(run)(1, gate.code)
    values = parallel(tasks, batch_size=1, return_as="generator_unordered")
    assert {next(values), next(values)} == {2, 3}
    gate.open()
    assert list(values) == [1]


def test_an_error_is_raised_as_it_was_and_the_other_tasks_end(
    parallel: Callable[..., Any], mec: MultiEngineClient
) -> None:
    def fail(i: int) -> None:
        if i == 0:
            raise ZeroDivisionError("task 0")
        time.sleep(60)

    began = time.monotonic()
    with pytest.raises(ZeroDivisionError, match="task 0"):
        parallel((delayed(fail)(i) for i in range(8)), batch_size=1)
    assert time.monotonic() - began < 10
    eventually(lambda: not any(status["pending"] for _, status in mec.queue_status()))


GENERATORS = pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])


def threads() -> int:
    return sum(thread.name == "kernelfleet-executor" for thread in threading.enumerate())


@GENERATORS
def test_a_generator_that_is_given_up_leaves_no_work_and_no_thread(
    parallel: Callable[..., Any], mec: MultiEngineClient, return_as: str
) -> None:
    before = threads()
    tasks = (delayed(time.sleep)(0 if i == 0 else 60) for i in range(100))
    values = parallel(tasks, batch_size=1, return_as=return_as)
    assert next(values) is None
    with pytest.warns(UserWarning, match="have been cancelled"):
        del values
    eventually(lambda: threads() == before)
    eventually(lambda: not any(status["pending"] for _, status in mec.queue_status()))


def test_joblib_is_imported_before_the_first_task_that_may_be_interrupted(
    start_fleet: Callable[..., MultiEngineClient],
) -> None:
    mec = start_fleet(2)
    with joblib.parallel_config("kernelfleet", fleet=mec):
        values = Parallel(n_jobs=2, return_as="generator")(delayed(time.sleep)(60) for _ in "abcd")
        with pytest.warns(UserWarning, match="have been cancelled"):
            del values
    assert mec.apply(lambda: "joblib.parallel" in sys.modules) == [True] * 2
    mec.execute("import numpy; numpy.maximum")


@GENERATORS
def test_an_error_in_the_middle_of_a_generator_leaves_no_work_and_no_thread(
    parallel: Callable[..., Any], mec: MultiEngineClient, return_as: str
) -> None:
    def fail(i: int) -> None:
        if i == 5:
            raise ZeroDivisionError("task 5")
        time.sleep(0 if i < 5 else 60)

    before = threads()
    with pytest.raises(ZeroDivisionError, match="task 5"):
        list(parallel((delayed(fail)(i) for i in range(100)), batch_size=1, return_as=return_as))
    eventually(lambda: threads() == before)
    eventually(lambda: not any(status["pending"] for _, status in mec.queue_status()))


def test_generators_of_one_configuration_are_taken_in_any_order(mec: MultiEngineClient) -> None:
    before = threads()
    with joblib.parallel_config("kernelfleet", fleet=mec):
        first, second, third = (
            Parallel(n_jobs=4, return_as="generator", batch_size=1)(
                delayed(square)(i) for i in range(40)
            )
            for _ in range(3)
        )
        assert next(second) == 0
        assert list(first) == [i * i for i in range(40)]
        assert list(second) == [i * i for i in range(1, 40)]
        assert Parallel(n_jobs=2)([delayed(square)(3)]) == [9]
        assert list(third) == [i * i for i in range(40)]
    eventually(lambda: threads() == before)


@GENERATORS
def test_a_parallel_that_is_left_cancels_its_generator(
    mec: MultiEngineClient, return_as: str
) -> None:
    before = threads()
    with (
        joblib.parallel_config("kernelfleet", fleet=mec),
        Parallel(n_jobs=4, return_as=return_as) as call,
    ):
        values = call(delayed(time.sleep)(60) for _ in range(50))
        with pytest.raises(RuntimeError, match="already running"):
            call(delayed(square)(i) for i in range(10))
    eventually(lambda: threads() == before)
    with pytest.warns(UserWarning, match="have been cancelled"):
        del values
    eventually(lambda: not any(status["pending"] for _, status in mec.queue_status()))


def test_a_task_that_cannot_travel_fails_the_call_wherever_it_is_in_it(
    parallel: Callable[..., Any],
) -> None:
    lock = threading.Lock()
    for which in (0, 150):
        tasks = (delayed(id)(lock if i == which else i) for i in range(200))
        with pytest.raises(SerializationError, match="lock"):
            parallel(tasks, batch_size=1)


def kept() -> int:
    from kernelfleet.joblib import worker

    return len(worker._kept)


def test_a_large_array_that_changes_between_calls_is_sent_again(mec: MultiEngineClient) -> None:
    big = np.zeros(300_000)
    with (
        joblib.parallel_config("kernelfleet", fleet=mec),
        Parallel(n_jobs=4) as call,
    ):
        for i in range(3):
            big[:] = i
            assert call(delayed(np.max)(big) for _ in range(8)) == [i] * 8
    eventually(lambda: mec.apply(kept) == [0] * 4)


def test_a_timeout_ends_the_tasks(parallel: Callable[..., Any], mec: MultiEngineClient) -> None:
    with pytest.raises(multiprocessing.TimeoutError):
        parallel([delayed(time.sleep)(60)] * 2, timeout=0.2)
    eventually(lambda: not any(status["pending"] for _, status in mec.queue_status()))


def test_parallel_within_a_task_runs_on_its_engine(parallel: Callable[..., Any]) -> None:
    def nested(n: int) -> list[int]:
        values: list[int] = Parallel(n_jobs=2)(delayed(square)(i) for i in range(n))
        return values

    assert parallel(delayed(nested)(n) for n in range(4)) == [[], [0], [0, 1], [0, 1, 4]]


def test_an_initializer_runs_on_each_engine_before_the_tasks(mec: MultiEngineClient) -> None:
    def begin(value: int) -> None:
        os.environ["BEGUN"] = str(value)

    def begun(_: int) -> str | None:
        return os.environ.get("BEGUN")

    tasks = [delayed(begun)(i) for i in range(20)]
    with joblib.parallel_config("kernelfleet", fleet=mec, initializer=begin, initargs=(5,)):
        assert Parallel(n_jobs=4)(tasks) == ["5"] * 20
    with joblib.parallel_config("kernelfleet", fleet=mec):
        assert Parallel(n_jobs=4, initializer=begin, initargs=(6,))(tasks) == ["6"] * 20


def test_each_call_finds_the_best_size_of_a_batch_anew(mec: MultiEngineClient) -> None:
    with joblib.parallel_config("kernelfleet", fleet=mec):
        call = Parallel(n_jobs=4)
        call(delayed(square)(i) for i in range(2000))
        backend = call._backend
        assert backend._effective_batch_size == backend._DEFAULT_EFFECTIVE_BATCH_SIZE


def test_threads_within_a_task_are_limited(mec: MultiEngineClient) -> None:
    controls = pytest.importorskip("threadpoolctl")

    def threads() -> list[int]:
        import numpy as np  # has a BLAS

        assert np is not None
        return [pool["num_threads"] for pool in controls.threadpool_info()]

    with joblib.parallel_config("kernelfleet", fleet=mec, inner_max_num_threads=1):
        assert Parallel(n_jobs=2)([delayed(threads)()]) == [[1] * len(mec.apply(threads)[0])]


def test_a_large_array_comes_once_to_each_engine_and_is_let_go(
    parallel: Callable[..., Any], mec: MultiEngineClient
) -> None:
    big = np.arange(300_000.0)
    place = delayed(lambda a, i: (a.ctypes.data, float(a[i]), os.getpid()))
    found = parallel((place(big, i) for i in range(12)), batch_size=1)
    assert [value for _, value, _ in found] == list(range(12))
    assert len({(pid, where) for where, _, pid in found}) == len({pid for _, _, pid in found})
    eventually(lambda: mec.apply(kept) == [0] * 4)


def test_a_task_may_name_the_backend_itself(parallel: Callable[..., Any]) -> None:
    def nested() -> set[int]:
        calls = (delayed(os.getpid)() for _ in range(4))
        return {os.getpid(), *Parallel(n_jobs=2, backend="kernelfleet")(calls)}

    for pids in parallel(delayed(nested)() for _ in range(4)):
        assert len(pids) == 1  # by threads of the engine itself


class FakeParallel:
    """What is asked of a Parallel when a batch is done."""

    def __init__(self, ready: int) -> None:
        self._lock = threading.RLock()
        self._cached_effective_n_jobs = 4
        self._original_iterator = iter(())
        self._ready_batches: queue.Queue[int] = queue.Queue()
        for i in range(ready):
            self._ready_batches.put(i)

    def dispatch_next(self) -> None:
        self._ready_batches.get_nowait()


@pytest.mark.parametrize(
    ("ready", "seconds", "left"), [(39, 0.001, 0), (3, 0.001, 3), (39, 0.5, 39)]
)
def test_quick_batches_at_the_end_are_handed_over_together(
    ready: int, seconds: float, left: int
) -> None:
    backend = FleetBackend()
    call = backend.parallel = FakeParallel(ready)
    backend._pace.record(1, seconds)
    backend.batch_completed(1, 0.1)
    assert call._ready_batches.qsize() == left


def test_an_engine_that_dies_loses_no_task(start_fleet: Callable[..., MultiEngineClient]) -> None:
    mec = start_fleet(2)
    flag = delayed(lambda i: os._exit(1) if i == 3 and _first() else i)
    mec.execute("")

    def _first() -> bool:
        path = f"/tmp/kf-joblib-{os.getppid()}"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            os.unlink(path)
            return False
        return True

    with joblib.parallel_config("kernelfleet", fleet=mec):
        assert Parallel(n_jobs=2, batch_size=1)(flag(i) for i in range(8)) == list(range(8))


def test_a_fleet_is_given_as_such_by_name_or_not_at_all() -> None:
    fleet = Fleet(2, name="for-joblib")
    with fleet as mec:
        pids = set(mec.apply(os.getpid))
        for given in (fleet, "for-joblib"):
            with joblib.parallel_config("kernelfleet", fleet=given):
                for _ in range(2):
                    assert set(Parallel(n_jobs=-1)([delayed(os.getpid)()] * 4)) <= pids


@pytest.mark.slow
def test_scikit_learn_searches_a_grid(mec: MultiEngineClient) -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression

    x, y = make_classification(4000, 40, random_state=0)
    search = selection.GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3)
    alone = search.fit(x, y).cv_results_["mean_test_score"]
    with joblib.parallel_config("kernelfleet", fleet=mec, n_jobs=-1):
        assert np.allclose(search.fit(x, y).cv_results_["mean_test_score"], alone)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"flet": "a"}, "has no option 'flet': its options are fleet, targets"),
        ({"fleet": 3}, "fleet is a client, a Fleet or the name of a fleet, not int"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        joblib.parallel_config("kernelfleet", **options)


def test_options_of_joblibs_own_backends_are_taken() -> None:
    FleetBackend(mmap_mode=None, idle_worker_timeout=5)


def test_the_backend_is_there_after_the_import() -> None:
    assert kernelfleet.joblib.NAME in joblib.parallel.BACKENDS
