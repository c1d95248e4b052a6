"""What a client asks about comms; ``operations.py`` has these beside the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelfleet.controller.comms.router import listing_of
from kernelfleet.wire.messages import JsonDict, requests

if TYPE_CHECKING:
    from kernelfleet.controller.controller import Controller

Answer = tuple[JsonDict, list[Any]]


def watch_comms(controller: Controller, client: str, header: requests.WatchCommsRequest) -> Answer:
    """Tell a bridge, through this client, of the comms that its clients' code opens."""
    bridge = header["bridge"]
    controller.registry.comms.watch(header.get("owner", client), bridge, via=client)
    for engine_id, comm_id in header.get("known", []):
        controller.registry.comms.has(bridge, engine_id, comm_id)
    return {"value": None}, []


def join_comm(controller: Controller, client: str, header: requests.JoinCommRequest) -> Answer:
    """What opens a comm, and all it names, for a bridge that has not got it."""
    (engine,) = controller.find_engines([header["engine"]])
    controller.registry.comms.flush_for(client)
    openings = engine.comms.join(header["bridge"], header["comm_id"])
    listed, buffers = listing_of((engine.id, each) for each in openings)
    return {"value": listed}, buffers


def comm_states(controller: Controller, client: str, header: requests.CommStatesRequest) -> Answer:
    """The comms that a bridge has, or some and what they name, as they are now."""
    controller.registry.comms.flush_for(client)
    bridge, wanted = header["bridge"], header.get("of")
    found = []
    for engine in controller.registry.engines.values():
        ids = None
        if wanted is not None:
            ids = [comm_id for engine_id, comm_id in wanted if engine_id == engine.id]
        found += [(engine.id, each) for each in engine.comms.states(bridge, ids)]
    listed, buffers = listing_of(found)
    return {"value": listed}, buffers
