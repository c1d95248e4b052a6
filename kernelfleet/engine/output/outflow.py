"""Flow control of output: what an engine has published and the controller has not read is bounded.

Without that, sixty engines that print as fast as they can keep the controller, and each other, from
all other work. A program that prints faster than its output is read is slowed down by ``print``, as
it is by a pipe or a terminal. One that prints less never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Bytes that may be on their way to the controller before more is written: of all engines of a
#: fleet together, and of one engine at least and at most.
FLEET_BYTES = 16 * 1024 * 1024
LEAST_BYTES, MOST_BYTES = 256 * 1024, 1024 * 1024
#: The longest wait in seconds: a controller that is stopped and reads nothing stops no program.
PATIENCE_SECONDS = 1.0

_POLL_SECONDS = 0.01


class Outflow:
    """Counts what was published and what was read of it.

    There is no lock, because a KeyboardInterrupt could leave it taken. If threads lose an update, a
    wait becomes a little shorter.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        #: Whether the controller reports what it has read. Until it does, nobody waits.
        self.confirmed = False
        self._limit = MOST_BYTES
        self._clock, self._sleep = clock, sleep
        self._sent = self._read = 0

    def share(self, n_engines: int) -> None:
        """Set the bound of this engine by the number of engines in its fleet."""
        self._limit = min(max(FLEET_BYTES // max(n_engines, 1), LEAST_BYTES), MOST_BYTES)

    def sent(self, size: int) -> None:
        """Count bytes that were published."""
        self._sent += size

    def read(self, size: int) -> None:
        """Count bytes that the controller has read."""
        self._read = min(self._read + size, self._sent)

    def is_full(self, not_sent: int = 0) -> bool:
        """Tell whether output should wait; ``not_sent`` bytes are written and not published yet."""
        return self.confirmed and self._sent - self._read + not_sent >= self._limit

    def wait(self, not_sent: Callable[[], int] = lambda: 0) -> None:
        """Wait until more may be written, or ``PATIENCE_SECONDS`` have passed."""
        deadline = self._clock() + PATIENCE_SECONDS
        while self.is_full(not_sent()):
            if self._clock() >= deadline:
                self._read = (
                    self._sent
                )  # nobody reads: wait again only after another bound of bytes
                return
            self._sleep(_POLL_SECONDS)
