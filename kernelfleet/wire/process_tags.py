"""The mark that everything an engine starts carries, however far it goes from its family.

Each life of an engine has a random mark of its own. Its processes inherit it in a variable of
their environment; those that are forked without starting another program, whose environment
cannot be seen from outside, inherit a descriptor of a memory file named by it. Where a fleet runs
inside an engine of another one, its processes carry both marks.

This file depends on nothing of the package: the nanny (``controller/processes/nanny.py``) loads it
by its path.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

VARIABLE = "KERNELFLEET_ENGINE"
_FILE_PREFIX = "kernelfleet-engine:"
#: The system allows names of 249 bytes.
_MAX_FILE_NAME = 240
#: A process may fork just before it is killed, so the search is repeated: at most this often, with
#: this many seconds in between.
ROUNDS = 20
PAUSE_SECONDS = 0.02

_INTERPRETER = os.path.realpath(sys.executable)


def added_to(environment: Mapping[str, str], mark: str) -> dict[str, str]:
    """The environment of an engine with this mark."""
    before = environment.get(VARIABLE)
    return {**environment, VARIABLE: f"{before},{mark}" if before else mark}


def without_last(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the mark that ``added_to`` has added."""
    before = environment.get(VARIABLE, "").rpartition(",")[0]
    others = {name: value for name, value in environment.items() if name != VARIABLE}
    return {**others, VARIABLE: before} if before else others


def own_mark(environment: Mapping[str, str]) -> str | None:
    """The mark of the engine that this environment is of, or was inherited from; or None."""
    return environment.get(VARIABLE, "").rpartition(",")[2] or None


def is_in_environment(environment: Mapping[str, str], marks: Collection[str]) -> bool:
    """Whether a process with this environment carries one of the marks."""
    return any(each in marks for each in environment.get(VARIABLE, "").split(","))


def file_name(environment: Mapping[str, str]) -> str | None:
    """What the memory file of an engine is called; None without a mark."""
    carried = environment.get(VARIABLE)
    return f"{_FILE_PREFIX}{carried}"[:_MAX_FILE_NAME] if carried else None


def is_in_link(link: str, marks: Collection[str]) -> bool:
    """Whether an entry of ``/proc/<pid>/fd`` is the memory file of one of the marks."""
    _, found, carried = link.partition(_FILE_PREFIX)
    carried = carried.removesuffix(" (deleted)")
    return bool(found) and any(each in marks for each in carried.split(","))


def holds_file(pid: int, marks: Collection[str]) -> bool:
    """Whether a process was forked from an engine without starting another program (Linux).

    Raises:
        OSError: it has ended, or is another user's.
    """
    if os.readlink(f"/proc/{pid}/exe") != _INTERPRETER:
        return False  # comparing the executable is much cheaper than listing descriptors
    return any(is_in_link(link, marks) for link in _links(f"/proc/{pid}/fd"))


def _links(folder: str) -> Iterator[str]:
    for fd in os.listdir(folder):
        with suppress(OSError):
            yield os.readlink(f"{folder}/{fd}")


def end_carriers(marks: Collection[str]) -> None:
    """Kill every process that carries one of the marks, but never this one (Linux).

    For processes that end as well, and have neither a loop nor psutil.
    """
    for turn in range(ROUNDS if marks else 0):
        if turn:
            time.sleep(PAUSE_SECONDS)
        found = list(_carriers(marks))
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _carriers(marks: Collection[str]) -> Iterator[int]:
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return  # a system that shows no processes
    for pid in pids:
        with suppress(OSError):  # another user's, or just ended
            if pid != os.getpid() and (
                is_in_environment(_environment(pid), marks) or holds_file(pid, marks)
            ):
                yield pid


def _environment(pid: int) -> dict[str, str]:
    """Our variable in the environment of a process, as it was when its program began."""
    begin = f"{VARIABLE}=".encode()
    with open(f"/proc/{pid}/environ", "rb") as file:
        found = [each for each in file.read().split(b"\0") if each.startswith(begin)]
    return {VARIABLE: found[0][len(begin) :].decode(errors="replace")} if found else {}
