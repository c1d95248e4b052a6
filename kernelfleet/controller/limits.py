"""Limits: those a fleet sets its clients, and the system's that many engines run into."""

from __future__ import annotations

import os
from collections.abc import Mapping

from traitlets import Integer, TraitError, default
from traitlets.config import Configurable

from kernelfleet.errors.tree import StartError

MB = 1024 * 1024
GB = 1024 * MB


class Limits(Configurable):
    """How much a fleet takes in and keeps before it says no. None is no limit."""

    message_bytes = Integer(
        4 * GB,
        min=MB,
        allow_none=True,
        help="The data of one call that travels through a socket. What is in shared memory, as "
        "large arrays on one machine are, does not count.",
    ).tag(config=True)
    queue_length = Integer(
        100_000,
        min=1,
        allow_none=True,
        help="Requests that may wait for one engine; each takes some 3 kB of the controller.",
    ).tag(config=True)
    output_bytes = Integer(
        16 * MB,
        min=1,
        allow_none=True,
        help="What one command may print and show at once; in the long run a 256th of it each "
        "second. What is beyond that is left out with a note. For kernelfleet's own kernel.",
    ).tag(config=True)
    out_bytes = Integer(
        None,
        min=0,
        allow_none=True,
        help="What IPython may keep of an engine's values in Out, about; the oldest go. Without it "
        "Out keeps the last 1000, whatever their size. For kernelfleet's own kernel.",
    ).tag(config=True)
    command_count = Integer(
        1000, min=1, allow_none=True, help="Finished commands kept per engine, for get_result()."
    ).tag(config=True)
    command_bytes = Integer(
        16 * MB, min=0, allow_none=True, help="Their size per engine; the last one is always kept."
    ).tag(config=True)
    span_count = Integer(
        1000,
        min=1,
        help="What an engine did last, for timeline(); large fleets keep less of each engine.",
    ).tag(config=True)
    result_count = Integer(
        1000,
        min=1,
        allow_none=True,
        help="Results kept that no client holds any more, for pending_result(id).",
    ).tag(config=True)
    result_bytes = Integer(64 * MB, min=0, allow_none=True, help="Their size.").tag(config=True)
    unread_bytes = Integer(
        min=MB,
        allow_none=True,
        help="Results that may wait for one client behind the one that it is reading (a quarter of "
        "the memory); beyond that they are dropped, and new requests refused, until it reads on.",
    ).tag(config=True)
    credit_bytes = Integer(
        64 * MB,
        min=MB,
        help="Of these, what is under way; streamed output beyond it is left out.",
    ).tag(config=True)

    @default("unread_bytes")
    def _quarter_of_the_memory(self) -> int:
        import psutil

        return max(int(psutil.virtual_memory().total) // 4, MB)


def limit_names() -> list[str]:
    """What may be limited."""
    return sorted(Limits.class_trait_names(config=True))


def make_limits(values: Mapping[str, object]) -> Limits:
    """Limits with some of them set.

    Raises:
        TypeError: a name that is no limit; the message lists those there are.
        ValueError: a value that is none.
    """
    unknown = sorted(set(values) - set(limit_names()))
    if unknown:
        raise TypeError(f"there is no limit {unknown[0]!r}; there are {', '.join(limit_names())}")
    limits = Limits()
    for name, value in values.items():
        try:
            setattr(limits, name, value)
        except TraitError as error:
            raise ValueError(f"the limit {name} cannot be {value!r}: {error}") from None
    return limits


#: Sockets, and the descriptor that tells of its death.
DESCRIPTORS_PER_ENGINE = 8
#: For clients, logs, and what else this process does.
DESCRIPTORS_TO_SPARE = 128

_TOO_MANY = "the limit of processes and threads is reached: see ulimit -u, pids.max of a container"
#: What the words of a process that could not start mean.
_MEANINGS = {
    "can't start new thread": _TOO_MANY,
    "Resource temporarily unavailable": _TOO_MANY,
    "Too many open files": "the limit of open files is reached: see ulimit -n",
    "No space left on device": "the disk is full",
    "MemoryError": "there is no memory left",
}


def meaning(words: str) -> str:
    """Which limit of the system these words tell of, in brackets; empty if of none."""
    found = [meaning for error, meaning in _MEANINGS.items() if error in words]
    return f" ({found[0]})" if found else ""


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


def max_descriptors() -> int | None:
    """How many files and sockets this process may have open; None is any number."""
    try:
        import resource
    except ImportError:
        return None  # Windows
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _open_now() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return DESCRIPTORS_TO_SPARE
