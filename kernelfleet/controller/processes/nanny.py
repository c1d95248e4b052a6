"""The guardian: a small process that ends kernels whose controller was killed.

A forked engine has the fork server to end it and its children. An ordinary one asks the system
to be killed with its parent, but its children live on; and of somebody else's kernel nothing
can be asked. So a controller that starts kernels as its own children has a guardian beside it,
which knows their process groups and kills them when the controller is gone::

    controller --"+4711" "-4711"--> stdin of the guardian --SIGKILL, if we are gone--> groups

It is there as long as it has something to guard. The file is run as a script, on a Python without
``site``: it depends on nothing of the package.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys

#: How often to look for the controller where the system has no pidfd.
LOOK_SECONDS = 0.5
_READ_BYTES = 4096


class Nanny:
    """The controller's half."""

    def __init__(self) -> None:
        self._guarded: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, pid: int) -> None:
        """Have the group of this child of ours killed when we are gone."""
        if sys.platform == "win32":
            return  # no process groups
        self._guarded.add(pid)
        if self._process is None or self._process.poll() is not None:
            self._end()  # was killed: let go of the pipe
            self._start()
        else:
            self._say(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """It has ended; call this before it is reaped, while its number is still its own."""
        if pid in self._guarded:
            self._guarded.remove(pid)
            self._say(f"-{pid}\n")
            if not self._guarded:
                self._end()

    def _start(self) -> None:
        # -I -S: whatever PYTHONPATH and site-packages hold is none of its business, and takes time.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )
        if self._process.stdin is not None:  # one that is stopped must not stop us
            os.set_blocking(self._process.stdin.fileno(), False)
        self._say("".join(f"+{pid}\n" for pid in self._guarded))

    def _say(self, text: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it was killed; the next kernel brings up another
                if self._process.stdin.write(text.encode()) is None:
                    # It was stopped for so long that the pipe is full, and would miss this.
                    self._end()
                    self._start()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            # Killed, not asked: a process that we have forked may hold a copy of the pipe.
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()


# -- the guardian's own process ----------------------------------------------------------------


def main() -> None:
    """Keep the list until the controller is gone, then kill who is on it."""
    owner = int(sys.argv[1])
    guarded: set[int] = set()
    poll = select.poll()
    poll.register(0, select.POLLIN)
    owner_fd = _open(owner)
    if owner_fd >= 0:
        poll.register(owner_fd, select.POLLIN)
    pending = b""
    while True:
        ready = {fd for fd, _ in poll.poll(None if owner_fd >= 0 else LOOK_SECONDS * 1000)}
        if 0 in ready:
            data = os.read(0, _READ_BYTES)
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                change = guarded.add if line.startswith(b"+") else guarded.discard
                change(int(line[1:]))
            if data:
                continue  # all that it has said comes first
            poll.unregister(0)
        if os.getppid() != owner:
            for pid in guarded:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
            return


def _open(pid: int) -> int:
    """A descriptor that tells of the process's death, where there is such a thing."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


if __name__ == "__main__":
    main()
