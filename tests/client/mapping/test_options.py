"""options.py: what makes no sense is refused at once, and nothing changes options on their way."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from kernelfleet.client.mapping.options import Call, MapOptions, name_of
from kernelfleet.client.mapping.retries import RetryPolicy
from tests.client.simulated import SimulatedFleet


@pytest.mark.parametrize(
    ("schedule", "chunksize", "retries", "error"),
    [
        ("fast", None, 1, ValueError), ("static", 0, 1, ValueError),
        ("static", True, 1, ValueError), ("dynamic", None, -1, ValueError),
        ("dynamic", 1.5, 1, TypeError), ("dynamic", None, True, ValueError),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(
    schedule: str, chunksize: Any, retries: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        MapOptions(schedule, chunksize, retries)
    MapOptions("dynamic", 3, 0)


@pytest.mark.parametrize("options", [MapOptions(), Call(abs, "abs")])
def test_options_cannot_be_changed_on_their_way(options: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.chunksize = 5


def test_a_switch_is_a_bool() -> None:
    with pytest.raises(ValueError, match="return_exceptions must be True or False, not 1"):
        MapOptions(return_exceptions=1)  # type: ignore[arg-type]


def test_an_item_of_a_map_is_run_again_after_deaths_only() -> None:
    assert MapOptions(retries=3).retry_policy == RetryPolicy(after_deaths=3, after_errors=0)


def test_only_static_blocks_are_static() -> None:
    assert MapOptions("static").is_static
    assert not MapOptions("dynamic").is_static


def test_functions_are_shown_by_name() -> None:
    assert name_of(abs) == "abs"
    assert name_of("lambda x: x") == "lambda x: x"
    assert len(name_of("x" * 100)) == 40
    assert name_of(SimulatedFleet(1).kill) == "SimulatedFleet.kill"
