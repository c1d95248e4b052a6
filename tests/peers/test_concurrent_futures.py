"""CPython's own tests of executors, on a fleet: for an interpreter that has them (3.13 does).

Run them with ``pytest -m peers tests/peers``. Python 3.13.0: 24 passed. Left out is what looks at
threads or processes of a pool's own, and ``max_workers``.
"""

# mypy: ignore-errors
# The tests of the standard library are not installed everywhere, and have no types.

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet import Fleet, MultiEngineClient

pytestmark = pytest.mark.peers

executor = pytest.importorskip("test.test_concurrent_futures.executor")
shutdown = pytest.importorskip("test.test_concurrent_futures.test_shutdown")
as_completed = pytest.importorskip("test.test_concurrent_futures.test_as_completed")
wait = pytest.importorskip("test.test_concurrent_futures.test_wait")
util = pytest.importorskip("test.test_concurrent_futures.util")


class OnAFleet(util.ExecutorMixin):
    """Puts an executor of a fleet where the tests expect one."""

    worker_count = 4
    client: MultiEngineClient

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _fleet(cls) -> Any:
        with Fleet(cls.worker_count) as client:
            cls.client = client
            yield

    def executor_type(self, max_workers: int) -> Any:
        """What makes an executor; it has as many workers as there are engines."""
        assert max_workers == self.worker_count
        return self.client.executor()


class TestExecutor(OnAFleet, executor.ExecutorTest, util.BaseTestCase):
    """submit, map, their errors and references."""

    test_max_workers_negative = None


class TestShutdown(OnAFleet, shutdown.ExecutorShutdownTest, util.BaseTestCase):
    """What is done and what is dropped after shutdown."""

    #: They write programs that make a pool of threads or processes by name.
    test_interpreter_shutdown = None
    test_submit_after_interpreter_shutdown = None
    #: They look for a manager thread of a pool of processes.
    test_hang_gh83386 = None
    test_hang_gh94440 = None


class TestAsCompleted(OnAFleet, as_completed.AsCompletedTests, util.BaseTestCase):
    """concurrent.futures.as_completed on tasks of a fleet."""


class TestWait(OnAFleet, wait.WaitTests, util.BaseTestCase):
    """concurrent.futures.wait on tasks of a fleet."""
