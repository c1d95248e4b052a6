"""Why a world has ended: which rank is at fault, and how it ended. Pure.

One rank that ends takes all others with it, within milliseconds: MPI_Abort, or we, kill them. Who
ended first is told by the process that has started the rank (``rank.py``), which knows the exit
code and whether it was told to end it. Where that process was killed as well, as MPICH's launcher
does after an MPI_Abort, the launcher's own words say who it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from signal import Signals

#: How Open MPI's launcher and MPICH's library put it.
_ABORTED = (
    re.compile(
        r"MPI_ABORT was invoked on rank (?P<rank>\d+) in communicator .*?errorcode (?P<code>-?\d+)",
        re.DOTALL,
    ),
    re.compile(r"Abort\((?P<code>-?\d+)\) on node \d+ \(rank (?P<rank>\d+) in comm \d+\)"),
)


@dataclass(frozen=True)
class Ending:
    """How the process of a rank has ended.

    Attributes:
        code: Its exit code, negative for a signal.
        told: Whether the launcher or we have ended it.
    """

    code: int
    told: bool


@dataclass(frozen=True)
class Verdict:
    """Who has ended a world.

    Attributes:
        rank: The rank at fault; None if it was none of them, or is not known.
        code: How that rank has ended.
        text: What has happened, where the exit code of that rank does not say it.
    """

    rank: int | None
    text: str = ""
    code: int | None = None


def judge(
    endings: Mapping[int, Ending], words: str, launcher_code: int | None, *, launcher_lost: bool
) -> Verdict:
    """Who has ended a world.

    Args:
        endings: By rank, in the order in which it became known.
        words: What the launcher has written.
        launcher_code: The exit code of the launcher, negative for a signal; None while it runs.
        launcher_lost: Whether ranks have lost the launcher.
    """
    for pattern in _ABORTED:
        if aborted := pattern.search(words):
            rank = int(aborted["rank"])
            return Verdict(rank, f"it called MPI_Abort({aborted['code']})")
    for rank, ending in endings.items():
        if not ending.told:
            return Verdict(rank, code=ending.code)
    if launcher_code is not None and launcher_code < 0:
        return Verdict(None, f"the MPI launcher was killed by {_name(-launcher_code)}")
    if launcher_lost:
        return Verdict(None, "the MPI launcher has ended")
    if launcher_code:
        return Verdict(
            None,
            f"a rank called MPI_Abort or was killed; the MPI launcher ended with {launcher_code}",
        )
    return Verdict(None, "all ranks have ended at once")


def _name(signum: int) -> str:
    try:
        return f"signal {signum} ({Signals(signum).name})"
    except ValueError:
        return f"signal {signum}"
