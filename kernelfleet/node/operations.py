"""What only a node is asked, by its head: beside these it answers what every controller does."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

from kernelfleet.controller import operations as controllers
from kernelfleet.controller.lifecycle import scaling
from kernelfleet.controller.ranks import meeting_point
from kernelfleet.controller.requests import CallError
from kernelfleet.errors.tree import StartError
from kernelfleet.wire.messages import requests
from kernelfleet.wire.operations import OPERATIONS

if TYPE_CHECKING:
    from kernelfleet.controller.base import Answer, Call
    from kernelfleet.node.controller import NodeController

#: By the name of its operation, what answers it.
CALLS: dict[str, Call] = dict(controllers.CALLS)


def answers(call: Call) -> Call:
    """Have a function answer the operation of its name."""
    operation = OPERATIONS[call.__name__]
    assert operation.of_a_head
    CALLS[operation.name] = call
    return call


@answers
async def add_engines(
    controller: NodeController, _client: str, header: requests.AddEnginesRequest
) -> Answer:
    """Start engines under the ids that the head gives."""
    new, registry = header["engines"], controller.registry
    taken = [each["id"] for each in new if each["id"] in registry.engines]
    if taken:
        raise CallError("StartError", f"there is an engine {taken[0]} here already")
    controller.added_variables.update({each["id"]: each["env"] for each in new})
    registry.sizes.node = header["node"]
    registry.recount(header["count"])
    try:
        await registry.add([each["kernel"] for each in new], [each["id"] for each in new])
    except StartError as error:
        controller.log.error("%s", error)
        raise CallError("StartError", str(error)) from error
    return {"value": registry.ids}, []


@answers
async def settle(
    controller: NodeController, _client: str, _header: requests.RequestFields
) -> Answer:
    """Answer when the engines that this node has told of are those that it will have."""
    await scaling.settle(controller.registry)
    return {"value": None}, []


@answers
async def leave(
    controller: NodeController, _client: str, header: requests.TargetsRequest
) -> Answer:
    """End engines when they have done what they were given."""
    await controller.registry.leave(controller.find_engines(header["targets"]))
    return {"value": None}, []


@answers
def recount(controller: NodeController, _client: str, header: requests.RecountRequest) -> Answer:
    """Tell the engines how many there are on all nodes."""
    controller.registry.recount(header["count"])
    return {"value": None}, []


@answers
def free_ports(
    _controller: NodeController, _client: str, _header: requests.RequestFields
) -> Answer:
    """Two TCP ports of this machine that are free, on all its addresses, at this moment."""
    _, port, jax_port = meeting_point("")
    return {"value": [port, jax_port]}, []


@answers
def set_variables(
    controller: NodeController, _client: str, header: requests.VariablesRequest
) -> Answer:
    """Keep what engines get in their environment when they are started the next time."""
    controller.added_variables.update({each["id"]: each["env"] for each in header["engines"]})
    return {"value": None}, []


@answers
async def open_world(
    controller: NodeController, _client: str, header: requests.OpenWorldRequest
) -> Answer:
    """Listen for the ranks of a new MPI world; False if another node here does so already."""
    worlds = controller.registry.worlds
    assert worlds is not None
    here = await worlds.open_part(
        header["size"], Path(header["socket"]), header["names"], controller.tell_of_rank
    )
    return {"value": here}, []


@answers
async def end_world(
    controller: NodeController, _client: str, header: requests.EndWorldRequest
) -> Answer:
    """End the ranks of the MPI world that are here, and free their ids."""
    registry = controller.registry
    assert registry.worlds is not None
    await registry.remove(registry.engines.values(), header["reason"])
    await registry.worlds.end()
    return {"value": None}, []


@answers
def judge_world(
    controller: NodeController, _client: str, header: requests.JudgeWorldRequest
) -> Answer:
    """Kill what is left of the MPI world here, and know why it has died."""
    worlds = controller.registry.worlds
    assert worlds is not None
    worlds.judge(header["rank"], header["text"], header["code"])
    return {"value": None}, []


@answers
def forget_owner(controller: NodeController, _client: str, header: requests.OwnerRequest) -> Answer:
    """End the maps and executors of a client of the head that has left."""
    controller.forget_owner(header["owner"])
    return {"value": None}, []


@answers
def follow(
    controller: NodeController, client: str, header: requests.FollowRequest
) -> Answer | Awaitable[Answer]:
    """Show a follower all output of a request; False if it does not run here any more."""
    return {"value": controller.follow(client, header["result_id"], header["follower"])}, []
