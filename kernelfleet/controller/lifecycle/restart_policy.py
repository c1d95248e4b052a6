"""Whether and when an engine that died is started again. Pure: no clock, no process.

Exponential backoff: the pause doubles with every restart within a minute. After too many of them
the engine is left dead, so that a crash loop ends in a clear state.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

#: At most ``LIMIT`` restarts within ``WINDOW_SECONDS``.
LIMIT = 5
WINDOW_SECONDS = 60.0
FIRST_PAUSE = 0.1


@dataclass
class RestartPolicy:
    """The recent restarts of one engine."""

    limit: int = LIMIT
    window: float = WINDOW_SECONDS
    _times: deque[float] = field(default_factory=deque)

    def pause(self, now: float) -> float | None:
        """How long to wait before starting it again; None: leave it dead."""
        while self._times and self._times[0] <= now - self.window:
            self._times.popleft()
        if len(self._times) >= self.limit:
            return None
        self._times.append(now)
        return FIRST_PAUSE * 2.0 ** (len(self._times) - 1)
