"""The mark that everything an engine starts carries, however far it goes from its family.

Each life of an engine has a random mark of its own. Its processes inherit it in a variable of
their environment; those that are forked without starting another program, whose environment
cannot be seen from outside, inherit a descriptor of a memory file named by it. Where a fleet runs
inside an engine of another one, its processes carry both marks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

VARIABLE = "KERNELFLEET_ENGINE"
_FILE_PREFIX = "kernelfleet-engine:"
#: The system allows names of 249 bytes.
_MAX_FILE_NAME = 240


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
