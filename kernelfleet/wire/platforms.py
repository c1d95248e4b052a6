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

import os
import signal
import sys
from collections.abc import Container
from dataclasses import dataclass

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
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
