"""How a client packs what goes to engines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypedDict

from kernelfleet.wire.objects.arrays import Maps

if TYPE_CHECKING:
    from kernelfleet.client.controller_proxy import ControllerProxy
    from kernelfleet.wire.objects.pythons import OtherPythons


class NestedPacking(TypedDict):
    """Arguments of ``pack_nested``."""

    maps: Maps
    other_pythons: OtherPythons


class Packing(NestedPacking):
    """Arguments of ``pack``."""

    shared: bool


def nested_packing(connection: ControllerProxy, engines: Iterable[int]) -> NestedPacking:
    """The arguments of ``pack_nested`` for what goes to these engines.

    What is mapped from a file stays read-only; on one machine the engines map it as well.
    """
    return {
        "maps": Maps.SHARED if connection.fleet.get("shares_files") else Maps.READ_ONLY,
        "other_pythons": connection.roster.others(engines),
    }


def packing(connection: ControllerProxy, engines: Iterable[int]) -> Packing:
    """The arguments of ``pack`` for what goes to these engines."""
    return {**nested_packing(connection, engines), "shared": connection.shares_memory}
