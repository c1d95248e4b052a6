"""The fork servers of this process: who uses which, and the one that is started in advance.

A fork server is ready after some tenths of a second. A program that starts a fleet imports
kernelfleet first, which takes as long. So when a program's own code asks the package for ``Fleet``,
the fork server starts, and loads its modules beside these imports.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections import Counter
from contextlib import suppress

from kernelfleet.provisioners.forkserver import ForkServer
from kernelfleet.provisioners.kinds import Kind, kind_of
from kernelfleet.wire.platforms import HERE
from kernelfleet.wire.process_tags import own_mark

#: A fork server takes as much memory as a kernel; kernels of further kinds are started without.
MAX_SERVERS = 4
#: What the code of a program, a notebook, or a child of multiprocessing is in. A library that has
#: ``Fleet`` among its imports may have no use for it.
_PROGRAMS = ("__main__", "__mp_main__")


class Servers:
    """The fork servers of this process and how many users each has; the last user ends it."""

    def __init__(self) -> None:
        self._servers: dict[Kind, ForkServer] = {}
        self._users: Counter[Kind] = Counter()
        #: That of the server which ``warm_up`` has started, until there is a user of any.
        self._warm: Kind | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def _forget_if_forked(self) -> None:
        if self._pid != os.getpid():  # after a fork: they belong to the parent process
            self._servers, self._users, self._pid = {}, Counter(), os.getpid()
            self._warm = None

    def warm_up(self, kind: Kind) -> None:
        """Start a server before there is a user, so that it is ready sooner.

        It ends with this process, or when the first user needs one of another kind.
        """
        with self._lock:
            self._forget_if_forked()
            if not self._servers:
                self._servers[kind] = ForkServer(kind)
                self._users[kind] += 1
                self._warm = kind
                atexit.register(self._end_the_unused)

    def _end_the_unused(self) -> None:
        """End the server that nobody has used, before the interpreter warns of what is open."""
        if self._pid == os.getpid() and self._warm is not None:
            warm, self._warm = self._warm, None
            self.release(warm)

    def take(self, kind: Kind) -> ForkServer | None:
        """A running server, to be given back with ``release``; None if there are too many."""
        with self._lock:
            self._forget_if_forked()
            server = self._servers.get(kind)
            if server is not None:
                server.pump()
            elif len(self._servers) >= MAX_SERVERS:
                return None
            if server is None or not server.alive:
                server = self._servers[kind] = ForkServer(kind)
            self._users[kind] += 1
            warm, self._warm = self._warm, None
        if warm is not None:
            self.release(warm)
        return server

    def release(self, kind: Kind) -> None:
        """Give a server back; the last user ends it."""
        with self._lock:
            self._forget_if_forked()
            if kind not in self._users:
                return
            self._users[kind] -= 1
            if self._users[kind] > 0:
                return
            del self._users[kind]
            server = self._servers.pop(kind)
        server.close()


servers = Servers()


def warm_up_for(module: str) -> None:
    """Start the fork server of fleets without ``preload``, if this module's code may start one."""
    if HERE.fork_server and module in _PROGRAMS and not _repeats_imports():
        with suppress(OSError):
            servers.warm_up(kind_of((), os.environ))


def _repeats_imports() -> bool:
    """Whether this process, an engine or a worker, only imports what the program has imported."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    current = multiprocessing and multiprocessing.current_process()
    return own_mark(os.environ) is not None or hasattr(current, "_inheriting")
