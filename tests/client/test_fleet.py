"""fleet.py: what a fleet can be made of; running ones are in tests/conformance."""

from __future__ import annotations

import os
from typing import Any

import pytest

from kernelfleet.client.fleet import Fleet
from kernelfleet.errors import FleetError


@pytest.mark.parametrize("n", [0, -1])
def test_a_fleet_has_at_least_one_engine(n: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Fleet(n)


@pytest.mark.parametrize("n", ["4", 2.0, True])
def test_the_number_of_engines_is_an_int(n: Any) -> None:
    with pytest.raises(TypeError):
        Fleet(n)


def test_without_a_number_there_is_one_engine_per_core() -> None:
    assert f"of {len(os.sched_getaffinity(0))} engines" in repr(Fleet())


def test_kernels_are_one_name_or_a_list_of_them() -> None:
    assert "of 3 engines" in repr(Fleet(kernel=["python3", None, "bash"]))
    assert "of 2 engines" in repr(Fleet(2, kernel="python3"))
    with pytest.raises(ValueError, match="2 kernels are named"):
        Fleet(3, kernel=["python3", None])


def test_an_environment_is_a_dict_or_a_function() -> None:
    with pytest.raises(TypeError, match="env is"):
        Fleet(1, env="A=1")  # type: ignore[arg-type]


def test_a_fleet_that_was_not_started_has_no_clients() -> None:
    fleet = Fleet(1)
    assert not fleet.running
    assert repr(fleet) == "<Fleet of 1 engines, stopped>"
    with pytest.raises(FleetError, match="not running"):
        fleet.client()
    fleet.stop()
