"""Whether libzmq's own threads have written to the network what they were given (Linux).

libzmq tells nobody. But giving such a thread something wakes it, and it sleeps again when all is
written: so a program that prints, flushes and then crashes or stops can be sure of what it said.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

_TASKS = "/proc/self/task"
#: libzmq 4.3 calls its threads so.
_NAME = "ZMQbg/IO"
#: What waiting may take on a machine that has no time for them (0.9 s was seen).
_PATIENCE_SECONDS = 2.0
#: They take some 20 us; who looks more often than so many times keeps a busy machine from them.
_LOOKS, _PAUSE_SECONDS = 20, 0.0005
_STAT_BYTES = 128


class NetworkThreads:
    """The threads of this process that were there when it was made; none on other systems."""

    def __init__(self) -> None:
        self._stats: list[int] = []
        with suppress(OSError):
            for task in os.listdir(_TASKS):
                with open(f"{_TASKS}/{task}/comm") as file:
                    if file.read().startswith(_NAME):
                        self._stats.append(os.open(f"{_TASKS}/{task}/stat", os.O_RDONLY))

    def wait(self) -> None:
        """Wait until they sleep: what they were given before is on its way."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for stat in self._stats:
            looks = 0
            while not _sleeps(stat) and time.monotonic() < deadline:
                looks += 1
                if looks > _LOOKS:
                    time.sleep(_PAUSE_SECONDS)


def _sleeps(stat: int) -> bool:
    try:
        return b") S" in os.pread(stat, _STAT_BYTES, 0)
    except OSError:
        return True  # it has ended
