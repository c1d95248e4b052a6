"""The nanny: a small process that kills kernels whose controller was killed.

A forked engine has its fork server, which ends it and its children. An ordinary engine asks the
system to be killed with its parent, but its children would live on, and a foreign kernel cannot be
asked at all. So a controller that starts kernels as its own children has a nanny beside it, which
knows their process groups and kills them when the controller is gone, and whatever carries the
process tags of the engines, in whatever session (``wire/process_tags.py``)::

    controller --"+4711" "-4711"--> stdin of the nanny --SIGKILL, if we are gone--> groups
               --"#tag"  "~tag" -->

It serves users whose controller is killed, by the system for lack of memory or by ``kill -9``:
without it, foreign kernels would keep their memory and GPUs. It runs as long as there is a group to
watch. The file is run as a script, on a Python without ``site``, so it cannot import the package,
and loads the one file of it that it needs by its path.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

#: How often to check whether the controller lives, where the system has no pidfd.
CHECK_SECONDS = 0.5
#: How long a process that is asked to end first may take.
POLITE_SECONDS = 2.0
_READ_BYTES = 4096
_TAGS_FILE = os.path.join(os.path.dirname(__file__), "..", "..", "wire", "process_tags.py")


class Nanny:
    """The controller's half."""

    def __init__(self) -> None:
        self._watched: set[int] = set()
        self._polite: set[int] = set()
        self._tags: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, pid: int, *, politely: bool = False) -> None:
        """Have the group of this child of ours killed when we are gone.

        Args:
            pid: The child, which leads its group.
            politely: Whether it gets SIGTERM and some time first, to tidy up.
        """
        if sys.platform == "win32":
            return  # no process groups
        self._watched.add(pid)
        if politely:
            self._polite.add(pid)
        self._tell(self._order(pid))

    def watch_tag(self, tag: str) -> None:
        """Have all that carries this process tag killed when we are gone."""
        if sys.platform != "win32":
            self._tags.add(tag)
            self._tell(f"#{tag}\n")

    def forget(self, pid: int) -> None:
        """A child has ended. Call this before it is reaped, while its pid cannot be reused."""
        if pid in self._watched:
            self._watched.remove(pid)
            self._polite.discard(pid)
            self._forget(f"-{pid}\n")

    def forget_tag(self, tag: str) -> None:
        """Nothing that carries this process tag is left."""
        if tag in self._tags:
            self._tags.remove(tag)
            self._forget(f"~{tag}\n")

    def _tell(self, order: str) -> None:
        """Say whom to watch, to a new process if there is none, which is told of all."""
        if self._process is None or self._process.poll() is not None:
            self._end()  # it was killed: close the pipe
            self._start()
        else:
            self._say(order)

    def _forget(self, order: str) -> None:
        self._say(order)
        if not self._watched and not self._tags:
            self._end()

    def _start(self) -> None:
        # -I -S: it needs nothing of PYTHONPATH and site-packages, which would take time to load.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )
        if self._process.stdin is not None:  # if it is stopped, we must not block
            os.set_blocking(self._process.stdin.fileno(), False)
        self._say("".join([*map(self._order, self._watched), *(f"#{tag}\n" for tag in self._tags)]))

    def _order(self, pid: int) -> str:
        return f"{'t' if pid in self._polite else '+'}{pid}\n"

    def _say(self, text: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it was killed; the next kernel starts another one
                if self._process.stdin.write(text.encode()) is None:
                    # It was stopped for so long that the pipe is full: this message would be lost.
                    self._end()
                    self._start()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            # Closing the pipe is not enough: a process that we have forked may hold a copy of it.
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()


# -- the nanny's own process ----------------------------------------------------------------


def main() -> None:
    """Keep the lists until the controller is gone, then kill what is on them."""
    owner = int(sys.argv[1])
    process_tags = _load(_TAGS_FILE)
    watched: set[int] = set()
    polite: set[int] = set()
    tags: set[str] = set()
    poll = select.poll()
    poll.register(0, select.POLLIN)
    owner_fd = _open(owner)
    if owner_fd >= 0:
        poll.register(owner_fd, select.POLLIN)
    pending = b""
    while True:
        ready = {fd for fd, _ in poll.poll(None if owner_fd >= 0 else CHECK_SECONDS * 1000)}
        if 0 in ready:
            data = os.read(0, _READ_BYTES)
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                _obey(line.decode(), watched, polite, tags)
            if data:
                continue  # first read everything the controller has written
            poll.unregister(0)
        if os.getppid() != owner:
            _signal(polite, signal.SIGTERM)
            _signal(watched, signal.SIGKILL)
            process_tags.end_carriers(tags)
            _await(polite)
            _signal(polite, signal.SIGKILL)
            return


def _load(path: str) -> Any:
    """A module that depends on nothing but the standard library."""
    spec = importlib.util.spec_from_file_location("process_tags", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _obey(order: str, watched: set[int], polite: set[int], tags: set[str]) -> None:
    word, subject = order[0], order[1:]
    if word in "#~":
        (tags.add if word == "#" else tags.discard)(subject)
        return
    for group, its_word in ((watched, "+"), (polite, "t")):
        (group.add if word == its_word else group.discard)(int(subject))


def _signal(groups: set[int], signum: int) -> None:
    for pid in groups:
        with contextlib.suppress(OSError):
            os.killpg(pid, signum)


def _await(groups: set[int]) -> None:
    """Give processes that were asked to end the time to do so; ``groups`` has those left."""
    deadline = time.monotonic() + POLITE_SECONDS
    while groups and time.monotonic() < deadline:
        time.sleep(0.02)
        for pid in list(groups):
            try:
                os.killpg(pid, 0)
            except OSError:
                groups.discard(pid)


def _open(pid: int) -> int:
    """A pidfd of a process; -1 where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


if __name__ == "__main__":
    main()
