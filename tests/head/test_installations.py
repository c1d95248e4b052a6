"""installations.py: an error about a node names found, wanted, and the command that mends it."""

from __future__ import annotations

import platform
from dataclasses import replace

from kernelfleet import __version__
from kernelfleet.clusters.base import Installation, Started
from kernelfleet.head.installations import all_reasons, fits, minor, why_not, why_not_started
from kernelfleet.wire.messages.nodes import NodeReport

GOOD = Installation("far", "/usr/bin/python", platform.python_version(), __version__)

REPORT: NodeReport = {
    "host": "far", "pid": 1, "url": "tcp://10.0.0.1:5", "server_key": "k", "cores": 2,
    "kernelfleet": __version__, "protocol": 1, "python": platform.python_version(),
}  # fmt: skip


def test_the_same_installation_fits() -> None:
    assert fits(GOOD)
    assert why_not_started("w", Started(GOOD, REPORT)) is None


def test_another_patch_version_of_python_fits_and_another_minor_does_not() -> None:
    assert why_not(replace(GOOD, python="3.11.1"), python="3.11.9") is None
    reason = why_not(replace(GOOD, python="3.10.4"), python="3.11.9")
    assert reason is not None
    assert "runs Python 3.10.4 (/usr/bin/python), and this process 3.11.9" in reason
    assert "python=3.11" in reason
    assert minor("3.13.0rc1") == "3.13"


def test_another_version_of_kernelfleet_or_none_names_the_command() -> None:
    command = f"/usr/bin/python -m pip install kernelfleet=={__version__}"
    other = why_not(replace(GOOD, kernelfleet="0.0.9"))
    none = why_not(replace(GOOD, kernelfleet=None))
    assert other is not None
    assert none is not None
    assert "kernelfleet 0.0.9" in other
    assert "no kernelfleet" in none
    assert command in other
    assert command in none


def test_a_node_that_did_not_come_up_is_named_with_what_it_said() -> None:
    silent = why_not_started("w1", Started(None, said="OSError: no route"))
    assert silent == "no node could be started on w1; it said:\nOSError: no route"
    crashed = why_not_started("w1", Started(GOOD, None, "Traceback\nValueError: bad"))
    assert crashed is not None
    assert crashed.startswith("node far (w1) did not come up; it said:\n")
    assert crashed.endswith("ValueError: bad")
    told = why_not_started("w1", Started(GOOD, {**REPORT, "error": "no folder"}))
    assert told == "node far (w1) did not come up: no folder"
    unfit = why_not_started("w1", Started(replace(GOOD, kernelfleet=None)))
    assert unfit is not None
    assert unfit.startswith("node far (w1) cannot be used: it has no kernelfleet")


def test_many_reasons_are_not_all_told() -> None:
    assert all_reasons(["a", "a", "b"]) == "a\nb"
    assert all_reasons(list("abcde")) == "a\nb\nc\nand 2 more nodes"
