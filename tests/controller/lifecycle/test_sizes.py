"""sizes.py: an engine is told of how many it is one, in the fleet and on its node."""

from __future__ import annotations

import platform

from kernelfleet.controller.lifecycle.sizes import Sizes


def test_a_fleet_of_one_machine_is_as_large_as_its_machine_says() -> None:
    assert Sizes().identity(0, [0, 1, 2], 3) == {
        "engine_id": 0, "n_engines": 3, "node": platform.node(), "local_rank": 0, "local_size": 3,
    }  # fmt: skip


def test_numbers_are_given_in_the_order_of_ids_whoever_comes_up_first() -> None:
    sizes = Sizes()
    sizes.number([3, 7], [3, 7])
    assert sizes.identity(7, [3, 7], 2)["local_rank"] == sizes.local_rank(7) == 1
    assert sizes.local_rank(3) == 0


def test_an_engine_of_a_node_has_a_number_there_that_stays() -> None:
    sizes = Sizes("far", 12)
    ranks = [sizes.identity(each, [3, 7, 9], 3)["local_rank"] for each in (3, 7, 9)]
    assert ranks == [0, 1, 2]
    assert sizes.identity(9, [3, 9], 2)["local_rank"] == 2
    assert sizes.identity(11, [3, 9, 11], 3) == {
        "engine_id": 11, "n_engines": 12, "node": "far", "local_rank": 1, "local_size": 3,
    }  # fmt: skip
