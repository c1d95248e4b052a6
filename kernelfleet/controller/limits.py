"""The system's limits that many engines run into."""

from __future__ import annotations

import os

from kernelfleet.errors import StartError

#: Sockets, and the descriptor that tells of its death.
DESCRIPTORS_PER_ENGINE = 8
#: For clients, logs, and what else this process does.
DESCRIPTORS_TO_SPARE = 128


def allow_engines(n: int) -> None:
    """See to it that this process may open the descriptors that ``n`` more engines take.

    The soft limit, often 1024, is there for programs that use ``select``; it is raised no further
    than needed. Processes started from now on inherit it.

    Raises:
        StartError: the hard limit, which is the administrator's, forbids it.
    """
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _open_now() + n * DESCRIPTORS_PER_ENGINE + DESCRIPTORS_TO_SPARE
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise StartError(
            f"{n} engines need some {wanted} open files in this process, but the system allows "
            f"{hard}: start fewer, or have the hard limit raised (LimitNOFILE= of the service, "
            f"nofile in limits.conf, ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_now() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return DESCRIPTORS_TO_SPARE
