"""Output waits for its reader: what the controller has not read yet is bounded.

Without that, sixty engines that print as fast as they can keep the controller, and each other,
from everything else. A program that prints faster than its output is read is slowed down by
``print`` itself, as it is by a pipe or a terminal; one that prints less never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: How much may be on its way to the controller before more is written: by all engines of a fleet
#: together, and by one, at least and at most.
FLEET_BYTES = 16 * 1024 * 1024
LEAST_BYTES, MOST_BYTES = 256 * 1024, 1024 * 1024
#: The longest wait. A controller that does not read at all, as it is stopped, stops no program.
PATIENCE_SECONDS = 1.0

_POLL_SECONDS = 0.01


class Outflow:
    """What was published and not read yet.

    Counted without a lock, which a KeyboardInterrupt might leave taken: an update that is lost
    between threads makes a wait a little shorter.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        #: Whether the controller tells what it has read; until then nobody waits.
        self.confirmed = False
        self._limit = MOST_BYTES
        self._clock, self._sleep = clock, sleep
        self._sent = self._read = 0

    def share(self, n_engines: int) -> None:
        """There are so many engines in the fleet."""
        self._limit = min(max(FLEET_BYTES // max(n_engines, 1), LEAST_BYTES), MOST_BYTES)

    def sent(self, size: int) -> None:
        """So many bytes were published."""
        self._sent += size

    def read(self, size: int) -> None:
        """The controller has read so many bytes."""
        self._read = min(self._read + size, self._sent)

    def is_full(self, not_sent: int = 0) -> bool:
        """Whether more should wait; ``not_sent`` is what is written and not yet published."""
        return self.confirmed and self._sent - self._read + not_sent >= self._limit

    def wait(self, not_sent: Callable[[], int] = lambda: 0) -> None:
        """Return when more may be written."""
        deadline = self._clock() + PATIENCE_SECONDS
        while self.is_full(not_sent()):
            if self._clock() >= deadline:
                self._read = self._sent  # nobody reads: so much again
                return
            self._sleep(_POLL_SECONDS)
