"""Pace: how many tasks of joblib the next batch has. Pure: it knows neither joblib nor a clock.

joblib's own backends start with one task, double while a batch comes back within 0.2 s, and count
the time a batch has waited. Five thousand quick tasks then make a hundred batches. Here an engine
says how long a batch has run, so that few batches are needed to find the size.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds that a batch should run: long enough to hide what sending it costs.
TARGET_SECONDS = 0.1
#: A batch that runs for less than this, or more than this, is not of the best size.
SHORT_SECONDS, LONG_SECONDS = 0.05, 1.0
#: A batch is at most so many times larger than the one that was measured.
GROWTH = 32
#: What takes less is sent together with others.
QUICK_SECONDS = 0.01
MAX_BATCH_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Pace:
    """The sizes of the batches of one call of Parallel.

    Attributes:
        size: How many tasks the next batch has.
    """

    size: int = 1
    _seconds: float | None = None
    _seconds_per_task: float | None = None
    _bytes: float = 0.0

    def record(self, tasks: int, seconds: float) -> None:
        """A batch of so many tasks has run for so long: learn from it.

        The size is adapted by batches of the present size only: those that were still under way
        when it was changed say nothing about it.
        """
        if tasks < 1:
            return
        self._seconds_per_task = seconds / tasks
        if tasks != self.size:
            return
        known = self._seconds
        self._seconds = seconds if known is None else 0.8 * known + 0.2 * seconds
        self._adapt(self._seconds)

    def is_quick(self, tasks: int) -> bool:
        """Whether so many tasks run for less than what makes a batch worth its request."""
        each = self._seconds_per_task
        return each is not None and tasks * each < QUICK_SECONDS

    def weigh(self, tasks: int, size_bytes: int) -> None:
        """The arguments of so many tasks, which travel with them, have this size."""
        self._bytes = max(self._bytes / 2, size_bytes / tasks)

    def _adapt(self, seconds: float) -> None:
        best = self.size * TARGET_SECONDS / max(seconds, 1e-9)
        if seconds < SHORT_SECONDS:
            best = min(best, self.size * GROWTH)
        elif seconds < LONG_SECONDS:
            return
        if self._bytes:
            best = min(best, MAX_BATCH_BYTES / self._bytes)
        size = max(1, int(best))
        if size != self.size:
            self.size, self._seconds = size, None
