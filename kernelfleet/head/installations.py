"""Whether what is installed on a node fits the head, and what to do if not. Pure.

Functions travel by their code, so client and engines need the same minor version of Python; and a
node speaks the head's protocol only with the head's version of kernelfleet.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

from kernelfleet import __version__
from kernelfleet.clusters.base import Installation, Started

#: How much of what a node has said an error quotes.
SAID_CHARACTERS = 2000


def minor(version: str) -> str:
    """The minor version of a Python: ``3.11`` of ``3.11.7``."""
    return ".".join(version.split(".")[:2])


def why_not(there: Installation, python: str = platform.python_version()) -> str | None:
    """Why a node cannot be used with this head, and the command that mends it; None if it can.

    Args:
        there: What the node would run.
        python: The version of Python here.
    """
    if minor(there.python) != minor(python):
        return (
            f"it runs Python {there.python} ({there.executable}), and this process {python}: "
            f"functions travel only between equal minor versions; start the workers with an "
            f"environment of Python {minor(python)} (conda create -n fleet python={minor(python)})"
        )
    if there.kernelfleet == __version__:
        return None
    found = f"kernelfleet {there.kernelfleet}" if there.kernelfleet else "no kernelfleet"
    return (
        f"it has {found} ({there.executable}), and this process kernelfleet {__version__}: run "
        f"`{there.executable} -m pip install kernelfleet=={__version__}` there, and start its "
        f"worker afresh"
    )


def fits(there: Installation) -> bool:
    """Whether a node can be started with what is installed there."""
    return why_not(there) is None


def why_not_started(name: str, started: Started) -> str | None:
    """Why there is no node on this worker; None if there is one.

    Args:
        name: What the cluster calls the worker.
        started: What came of the start.
    """
    there, report = started.installation, started.report
    said = f"; it said:\n{started.said[-SAID_CHARACTERS:].strip()}" if started.said else ""
    if there is None:
        return f"no node could be started on {name}{said}"
    where = f"node {there.host} ({name})"
    reason = why_not(there)
    if reason is not None:
        return f"{where} cannot be used: {reason}"
    if report is None:
        return f"{where} did not come up{said}"
    if "error" in report:
        return f"{where} did not come up: {report['error']}{said}"
    # The process is new: what it runs may have been installed after the worker was started.
    now = replace(there, python=report["python"], kernelfleet=report["kernelfleet"])
    reason = why_not(now)
    return f"{where} cannot be used: {reason}" if reason is not None else None


def all_reasons(reasons: Sequence[str], most: int = 3) -> str:
    """Several reasons as one text: equal or many ones are not all told."""
    distinct = list(dict.fromkeys(reasons))
    more = len(distinct) - most
    text = "\n".join(distinct[:most])
    return f"{text}\nand {more} more nodes" if more > 0 else text
