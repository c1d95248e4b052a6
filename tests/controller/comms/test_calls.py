"""calls.py: what a client asks about comms, and the way of a frontend's message to a kernel."""

from __future__ import annotations

import json
from typing import Any

from kernelfleet.wire.jupyter import decode
from tests.controller.asking import Asker, refusal, with_clients
from tests.controller.comms.kernels import opening, update
from tests.controller.simulated import Fleet


def test_a_comm_is_joined_and_its_state_told() -> None:
    async def test(fleet: Fleet, me: Asker, _you: Asker) -> None:
        comms = fleet.registry.engines[0].comms
        comms.take(opening("layout"), None)
        comms.take(opening("a", layout="IPY_MODEL_layout", x=1), None)
        assert me.at_once("watch_comms", bridge="b")["value"] is None
        joined = me.at_once("join_comm", bridge="b", engine=0, comm_id="a")["value"]
        assert [each["content"]["comm_id"] for each in joined] == ["layout", "a"]
        assert joined[1]["engine"] == 0
        comms.take(update("a", x=2), None)
        states = me.at_once("comm_states", bridge="b")["value"]
        assert {each["content"]["comm_id"] for each in states} == {"layout", "a"}
        (state,) = me.at_once("comm_states", bridge="b", of=[[0, "layout"], [9, "a"]])["value"]
        assert state["content"]["comm_id"] == "layout"
        gone = me.at_once("join_comm", bridge="b", engine=2, comm_id="a")
        assert refusal(gone).startswith("InvalidEngineID: engine 2 killed by signal 9")

    with_clients(test)


def test_who_knows_comms_already_is_told_what_became_of_them() -> None:
    async def test(fleet: Fleet, me: Asker, _you: Asker) -> None:
        fleet.registry.engines[0].comms.take(opening("a", x=1), None)
        told: list[Any] = []
        deliver = fleet.controller.clients.deliver

        def note(client_id: str, header: Any, buffers: list[Any]) -> None:
            told.append(header)
            deliver(client_id, header, buffers)

        fleet.controller.clients.deliver = note  # type: ignore[method-assign]
        me.at_once("watch_comms", bridge="b", known=[[0, "a"], [0, "z"], [8, "a"]])
        fleet.registry.comms.flush()
        (event,) = [each for each in told if each.get("event") == "comms"]
        kinds = [(each["engine"], each["msg_type"]) for each in event["messages"]]
        assert kinds == [(0, "comm_msg"), (0, "comm_close"), (8, "comm_close")]

    with_clients(test)


def test_a_frontends_message_goes_before_what_waits_and_keeps_its_order() -> None:
    async def test(fleet: Fleet, me: Asker, _you: Asker) -> None:
        channels = fleet.registry.channels[1]
        sent: list[str] = []
        send = channels.send

        def note(channel: str, identity: bytes, frames: Any) -> None:
            content = decode(fleet.registry.session, [identity, *frames]).content
            sent.append(str(content.get("code", content.get("comm_id"))))
            send(channel, identity, frames)

        channels.send = note  # type: ignore[method-assign]
        fleet.registry.engines[1].comms.take(opening("a", value=0), None)

        def say(comm_id: str, value: int) -> int:
            data = {"method": "update", "state": {"value": value}}
            content = {"msg_type": "comm_msg", "comm_id": comm_id, "data": data}
            return me.request("comm", targets=[1], result_id=f"c{value}", content=content)

        for i in range(3):
            me.execute(1, result_id=f"e{i}")
        first, second = say("a", 1), say("b", 2)
        (state,) = fleet.registry.engines[1].comms.states("", ["a"])
        assert state.data["state"] == {"value": 1}
        await fleet.settle(lambda: me.replies[first] == me.replies[second] == 1)
        assert sent == ["1", "a", "b", "1", "1"]
        assert me.errors(first) == [None]

    with_clients(test)


def test_a_kernel_that_is_not_ours_gets_jupyters_own_message() -> None:
    async def test(fleet: Fleet, me: Asker, _you: Asker) -> None:
        channels = fleet.registry.channels[4]
        sent: list[tuple[str, Any]] = []

        def answer(channel: str, identity: bytes, frames: Any) -> None:
            del identity
            header = json.loads(frames[2])
            sent.append((header["msg_type"], json.loads(frames[5])))
            for state in ("busy", "idle"):
                content = {"execution_state": state}
                message = channels._session.msg("status", content, parent={"header": header})
                said = channels._session.serialize(message, [b"status"])
                channels.hear("iopub", said)
            assert channel == "shell"

        channels.send = answer  # type: ignore[method-assign]
        content = {"msg_type": "comm_close", "comm_id": "a", "data": {}}
        n = me.request("comm", targets=[4], result_id="c", content=content)
        await fleet.settle(lambda: me.replies[n] == 1)
        assert me.errors(n) == [None]
        assert sent == [("comm_close", {"comm_id": "a", "data": {}})]

    with_clients(test)
