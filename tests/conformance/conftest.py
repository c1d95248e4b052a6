"""The interface is held over all transports, and by a fleet on the two nodes of a cluster.

Over TCP, and on the cluster but for a selection, it is held in the slow run, beside the journeys.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TRANSPORTS

#: What the default run holds on two nodes: where a request is split, and its answers are merged.
ALSO_ON_A_CLUSTER = (
    "test_targets_pick_engines_in_the_order_given",
    "test_duplicates_run_twice",
    "test_an_unknown_engine_stops_the_call",
    "test_execute_returns_a_result_list",
    "test_get_result_knows_the_commands_of_others",
    "test_interrupt_stops_the_current_command",
    "test_restart_starts_afresh",
    "test_push[",
    "test_pull_of_several_names",
    "test_pull_is_all_or_nothing",
    "test_scale_adds_and_removes",
    "test_only_what_an_engine_has_begun_is_running",
    "test_progress_and_output_so_far",
    "test_cancel_drops_what_waits",
    "test_an_error_clears_what_was_queued_behind_it",
    "test_a_death_fails_what_ran_and_what_waited",
    "test_results_of_the_good_engines_are_kept",
    "test_gather_joins_arrays",
    "test_map_is_like_the_builtin",
    "test_a_map_is_cancelled",
)


@pytest.fixture(params=[*TRANSPORTS, "cluster"])
def transport(request: pytest.FixtureRequest) -> str:
    """How a test's clients reach the fleet, or where its engines are."""
    return str(request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        callspec = getattr(item, "callspec", None)
        if item.path.parent != here or not callspec:
            continue
        transport = callspec.params.get("transport")
        selected = any(each in item.nodeid for each in ALSO_ON_A_CLUSTER)
        if transport == "tcp" or (transport == "cluster" and not selected):
            item.add_marker(pytest.mark.slow)
