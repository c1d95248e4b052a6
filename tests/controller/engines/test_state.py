from __future__ import annotations

from itertools import pairwise

import pytest

from kernelfleet.controller.engines.state import (
    MAY_FOLLOW,
    EngineState,
    IllegalStateChange,
    check_change,
)

STARTING, UP, LEAVING, STOPPING, DEAD = EngineState

LIVES = {
    "it was scaled away": [STARTING, UP, LEAVING, STOPPING],
    "it was killed": [STARTING, UP, STOPPING, STOPPING],
    "it was restarted": [STARTING, UP, STOPPING, STARTING, STARTING, UP],
    "it died and was restarted": [STARTING, UP, DEAD, DEAD, STARTING, STARTING, UP],
    "it died while it was leaving": [STARTING, UP, LEAVING, DEAD, STOPPING],
    "it did not come up": [STARTING, DEAD, STOPPING],
}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_an_engine_may_live_so(life: list[EngineState]) -> None:
    for before, after in pairwise(life):
        check_change(before, after)


@pytest.mark.parametrize("before", [STOPPING, DEAD, LEAVING])
def test_what_has_been_taken_out_of_service_must_start_before_it_is_up(before: EngineState) -> None:
    with pytest.raises(IllegalStateChange, match=f"{before} cannot become up"):
        check_change(before, UP)


def test_an_engine_at_work_is_stopped_before_it_starts_again() -> None:
    with pytest.raises(IllegalStateChange):
        check_change(UP, STARTING)


def test_every_state_can_end() -> None:
    assert all({STOPPING, DEAD} <= MAY_FOLLOW[state] for state in EngineState)


def test_the_names_are_what_users_see() -> None:
    assert [str(state) for state in EngineState] == [
        "starting", "up", "leaving", "stopping", "dead",
    ]  # fmt: skip
