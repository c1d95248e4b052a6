"""Waiting until libzmq's I/O threads have written to the network what they were given (Linux).

This serves a user whose program crashes in C code, or is stopped: he needs what was printed and
flushed before, to find the place. libzmq has no call that tells when a message has left. But
handing one to an I/O thread wakes the thread, and it sleeps again when everything is written, which
``/proc`` shows. On other systems ``flush`` does not wait for the network.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

_TASKS = "/proc/self/task"
#: The name that libzmq 4.3 gives its I/O threads.
_NAME = "ZMQbg/IO"
#: Time limit of a wait; on a busy machine 0.9 s was measured.
_PATIENCE_SECONDS = 2.0
#: An I/O thread needs about 20 us. After so many looks at once, sleep between them, because
#: polling would keep a busy machine from running the thread.
_LOOKS, _PAUSE_SECONDS = 20, 0.0005
_STAT_BYTES = 128


class NetworkThreads:
    """The I/O threads that this process had when the object was made; none on other systems."""

    def __init__(self) -> None:
        self._stats: list[int] = []
        with suppress(OSError):
            for task in os.listdir(_TASKS):
                with open(f"{_TASKS}/{task}/comm") as file:
                    if file.read().startswith(_NAME):
                        self._stats.append(os.open(f"{_TASKS}/{task}/stat", os.O_RDONLY))

    def wait(self) -> None:
        """Wait until they sleep: what they were given before has been written to the network."""
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
