"""How a client packs what goes to engines."""

from __future__ import annotations

import pytest

from kernelfleet.client.mapping.packing import nested_packing, packing
from kernelfleet.wire.objects.arrays import Maps
from tests.client.simulated import SimulatedFleet


@pytest.mark.parametrize(
    ("told", "maps"), [(True, Maps.SHARED), (False, Maps.READ_ONLY), (None, Maps.READ_ONLY)]
)
def test_files_are_shared_with_engines_of_this_machine_only(told: bool | None, maps: Maps) -> None:
    fleet = SimulatedFleet(2, shares_memory=True)
    if told is not None:
        fleet.fleet["shares_files"] = told
    assert packing(fleet.connection, [0]) == {"maps": maps, "other_pythons": {}, "shared": True}
    assert nested_packing(fleet.connection, [0]) == {"maps": maps, "other_pythons": {}}
