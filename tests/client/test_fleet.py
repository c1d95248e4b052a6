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


@pytest.mark.parametrize(
    ("env", "match"),
    [
        ({"OMP_NUM_THREADS": 2}, "'OMP_NUM_THREADS' cannot be 2"),
        (lambda i: {"GPU": i}, "'GPU' cannot be 0"),
        (lambda _: None, r"env\(0\) is to be a dict"),
    ],
)
def test_an_environment_that_no_process_can_have_is_named(env: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        Fleet(1, env=env).start()


@pytest.mark.parametrize("preload", ["numpy", [3]])
def test_what_is_preloaded_is_a_list_of_names(preload: Any) -> None:
    with pytest.raises(TypeError, match="preload is a list"):
        Fleet(1, preload=preload)


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"fork": "no"}, "fork is True or False"),
        ({"insecure_kernel": "R"}, "insecure_kernel is True or False"),
        ({"limits": 3}, "limits is a dict"),
    ],
)
def test_options_of_another_kind_are_refused(option: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        Fleet(1, **option)


def test_on_start_is_text() -> None:
    with pytest.raises(TypeError, match="on_start is the text"):
        Fleet(1, on_start=print)  # type: ignore[arg-type]


def test_a_fleet_that_was_not_started_has_no_clients() -> None:
    fleet = Fleet(1)
    assert not fleet.running
    assert repr(fleet) == "<Fleet of 1 engines, stopped>"
    with pytest.raises(FleetError, match="not running"):
        fleet.client()
    fleet.stop()


def test_a_stopped_fleet_that_is_still_referred_to_keeps_no_results() -> None:
    fleet = Fleet(1)
    mec = fleet.start()
    assert mec.execute("import numpy\na = numpy.zeros(1_000_000)", block=False).wait(20)
    pulled = mec.pull("a", block=False)
    assert pulled.wait(20)
    assert fleet._host is not None
    results, result_id = fleet._host.controller.results, pulled.result_id
    assert results.get(result_id) is not None
    del pulled
    fleet.stop()
    assert results.get(result_id) is None
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    assert not [each for each in links if os.path.lexists(each) and "memfd" in os.readlink(each)]
    assert repr(mec)  # it is still referred to as well
