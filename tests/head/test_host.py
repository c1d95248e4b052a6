"""host.py of the head: a fleet on a cluster comes and goes as a whole."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.errors import StartError


def test_a_fleet_without_a_number_has_an_engine_per_slot(
    start: Callable[..., MultiEngineClient],
) -> None:
    mec = start(None, per_node=2, cluster="ssh:one")
    assert mec.get_ids() == [0, 1]


def test_a_cluster_that_cannot_be_used_leaves_a_fleet_that_can_be_started_again() -> None:
    fleet = Fleet(2, cluster="ssh:")
    for _ in range(2):
        with pytest.raises(StartError, match="it has no hosts"):
            fleet.start()
    assert repr(fleet) == "<Fleet of 2 engines on a cluster, stopped>"
    del fleet
    gc.collect()


def test_options_of_nodes_need_a_cluster() -> None:
    with pytest.raises(TypeError, match="per_node is for the nodes of a cluster"):
        Fleet(2, per_node=2)
    with pytest.raises(TypeError, match="insecure is for the nodes of a cluster"):
        Fleet(2, insecure=True)
    with pytest.raises(ValueError, match="a node has at least one engine"):
        Fleet(2, cluster="ssh:one", per_node=0)
    with pytest.raises(TypeError, match="per_node is how many engines"):
        Fleet(2, cluster="ssh:one", per_node=1.5)  # type: ignore[arg-type]
