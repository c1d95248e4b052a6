"""What of the system a fleet uses: one decision, made from the platform's name and what it offers.

========================  ================  =================  =================
..                        Linux             macOS, other Unix  Windows
========================  ================  =================  =================
engines come from         the fork server   processes          processes
controller to engines     Unix sockets      Unix sockets       TCP, encrypted
client to controller      Unix socket, TCP  Unix socket, TCP   TCP, encrypted
large data                shared memory     frames             frames
death of a process        pidfd, at once    polled             polled
what a kernel started     its group         its group          its descendants
========================  ================  =================  =================

A Linux too old for one of these does without it like the others, and so does one where a sandbox
(seccomp) refuses the call: what counts is whether it works.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path

#: Where Linux shows control groups, and which of them a process is in.
CGROUPS = "/sys/fs/cgroup"
OWN_CGROUP = "/proc/self/cgroup"

#: How often a process is looked at where no descriptor tells of its death.
POLL_SECONDS = 0.25

#: Functions of ``os`` that the decision looks for.
OFFERS = ("fork", "killpg", "memfd_create", "pidfd_open")


@dataclass(frozen=True)
class Platform:
    """What a fleet uses on one system."""

    fork_server: bool
    unix_sockets: bool
    shared_memory: bool
    pidfds: bool
    process_groups: bool
    #: What a Unix socket's path may take, without the final zero.
    max_socket_path_bytes: int
    #: Whether Unix sockets carry packets and tell whose process is at the other end.
    packets: bool = False


def platform_of(name: str, offers: Container[str]) -> Platform:
    """Decide for a platform.

    Args:
        name: As ``sys.platform`` has it.
        offers: Which of ``OFFERS`` there are.
    """
    linux = name.startswith("linux")
    pidfds = linux and "pidfd_open" in offers
    return Platform(
        fork_server=pidfds and "fork" in offers,
        unix_sockets=name != "win32",
        shared_memory=linux and "memfd_create" in offers,
        pidfds=pidfds,
        process_groups="killpg" in offers,
        packets=linux,
        max_socket_path_bytes=107 if linux else 103,
    )


def _has_pidfds() -> bool:
    """Whether the calls that are there work as well."""
    try:
        fd = os.pidfd_open(os.getpid())
    except (OSError, AttributeError):
        return False
    try:
        signal.pidfd_send_signal(fd, 0)
    except (OSError, AttributeError):
        return False
    finally:
        os.close(fd)
    return True


def offers() -> set[str]:
    """Which of ``OFFERS`` work here."""
    there = {name for name in OFFERS if hasattr(os, name)}
    return there if _has_pidfds() else there - {"pidfd_open"}


#: This system.
HERE = platform_of(sys.platform, offers())


def number_of_cores() -> int:
    """How many cores this process may use: by its affinity, and by the limit of its container."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit = container_limit()
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


def container_limit(root: str | Path = CGROUPS, own: str | Path = OWN_CGROUP) -> float | None:
    """How many cores' worth of time the control groups of this process give it (Linux).

    ``docker run --cpus 1.5`` sets such a limit, which the affinity does not show: without this a
    container on a machine with 64 cores would get 64 engines.

    Args:
        root: Where control groups are mounted.
        own: The file that says which one this process is in.

    Returns:
        The smallest limit of the process's group and those above it; None if there is none.
    """
    if not sys.platform.startswith("linux"):
        return None
    root, own = Path(root), Path(own)
    try:
        entries = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return None
    limits: list[float] = []
    for _, controllers, path in (entry for entry in entries if len(entry) == 3):
        if controllers == "":  # version 2: one tree; a group has one file with quota and period
            limits += _limits_above(root, path, lambda group: _words(group / "cpu.max"))
        elif "cpu" in controllers.split(","):
            limits += _limits_above(
                root / "cpu", path,
                lambda group: [
                    *_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us"),
                ],
            )  # fmt: skip
    return min(limits, default=None)


def _limits_above(root: Path, path: str, quota_of: Callable[[Path], list[str]]) -> Iterator[float]:
    """The limits of a group and of those above it; a container may see its own group as root."""
    for group in (Path(path.lstrip("/")), *Path(path.lstrip("/")).parents):
        match quota_of(root / group):
            case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
                yield int(quota) / int(period)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
