"""client/comms.py: what a bridge asks, what it is told, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.comms import CommLink, Said, fleet_of, values_of
from kernelfleet.errors import FleetError
from kernelfleet.wire.messages.comms import CommMessage
from tests.client.scripted import ScriptedController
from tests.fleets import eventually

Both = tuple[MultiEngineClient, ScriptedController]
LISTED = {
    "engine": 1, "msg_type": "comm_msg", "content": {"comm_id": "c", "data": {"x": 1}},
    "metadata": {}, "buffers": 2,
}  # fmt: skip
MESSAGE = CommMessage("comm_msg", "c", {"x": 1}, [b"a", b"b"])


class Heard:
    """A link, and what it has told."""

    def __init__(self, client: MultiEngineClient, controller: ScriptedController) -> None:
        controller.answers["watch_comms"] = lambda _h, _b: ({"value": None}, [])
        self.said: list[Said] = []
        self.gone: list[CommLink] = []
        self.link = CommLink(client, "b", lambda: [[0, "k"]], self._take, self.gone.append)

    def _take(self, messages: Sequence[Said]) -> None:
        self.said += messages


def test_the_bridge_is_named_before_anything_else_is_asked(scripted: Both) -> None:
    mec, controller = scripted
    heard = Heard(mec, controller)
    eventually(lambda: bool(controller.asked))
    watch = controller.asked[0]
    assert (watch["operation"], watch["bridge"], watch["known"]) == ("watch_comms", "b", [[0, "k"]])
    assert heard.link.is_of(mec)
    assert heard.link.is_of(mec.view(0))
    assert heard.link.is_open
    assert fleet_of(mec) == ""  # (the scripted one says none)


def test_a_controller_that_has_forgotten_the_client_is_told_again(scripted: Both) -> None:
    mec, controller = scripted
    heard = Heard(mec, controller)
    eventually(lambda: bool(controller.asked))
    proxy = controller.proxy
    proxy._thread.call(proxy.away, "forgotten")
    welcome = {"type": "welcome", "roster": {"ids": [0], "dead": {}, "total": 1}}
    proxy._thread.call(proxy.receive, {**welcome, "session": "new"}, [])
    eventually(lambda: controller.operations.count("watch_comms") == 2)
    event = {"type": "event", "event": "roster", "roster": welcome["roster"]}
    proxy._thread.call(proxy.receive, event, [])
    controller.answers["join_comm"] = lambda _h, _b: ({"value": []}, [])
    heard.link.join(0, "c")
    assert controller.operations.count("watch_comms") == 2


def test_messages_of_engines_come_with_their_buffers(scripted: Both) -> None:
    mec, controller = scripted
    heard = Heard(mec, controller)
    bad = {**LISTED, "content": {}, "buffers": 0}
    event = {"type": "event", "event": "comms", "messages": [LISTED, bad, LISTED]}
    proxy = controller.proxy
    proxy._thread.call(proxy.receive, event, [b"a", memoryview(b"b"), b"a", b"b"])
    eventually(lambda: len(heard.said) == 2)
    assert heard.said == [(1, MESSAGE), (1, MESSAGE)]


def test_what_a_bridge_joins_has_come_when_the_call_returns(scripted: Both) -> None:
    mec, controller = scripted
    heard = Heard(mec, controller)
    controller.answers["join_comm"] = lambda _h, _b: ({"value": [LISTED]}, [b"a", b"b"])
    heard.link.join(1, "c")
    assert heard.said == [(1, MESSAGE)]
    asked = controller.asked[-1]
    assert (asked["bridge"], asked["engine"], asked["comm_id"]) == ("b", 1, "c")
    refusal = {"refused": {"ename": "InvalidEngineID", "evalue": "no engine 7"}}
    controller.answers["join_comm"] = lambda _h, _b: (refusal, [])
    with pytest.raises(FleetError, match="no engine 7"):
        heard.link.join(7, "c")
    assert len(heard.said) == 1


def test_states_are_of_some_or_all(scripted: Both) -> None:
    mec, controller = scripted
    heard = Heard(mec, controller)
    controller.answers["comm_states"] = lambda _h, _b: ({"value": [LISTED]}, [b"a", b"b"])
    assert heard.link.states() == [(1, MESSAGE)]
    assert "of" not in controller.asked[-1]
    assert heard.link.states([(1, "c")]) == [(1, MESSAGE)]
    assert controller.asked[-1]["of"] == [[1, "c"]]


def test_a_callbacks_end_and_error_are_told(scripted: Both) -> None:
    mec, controller = scripted
    heard = Heard(mec, controller)
    ends: list[Any] = []
    answers: list[tuple[dict[str, Any], list[Any]]] = [
        ({"results": [{"ok": True}]}, []),
        ({"results": [{"ok": False, "error": {"ename": "E"}}]}, []),
        ({"refused": {"ename": "InvalidEngineID", "evalue": "gone"}}, []),
    ]
    controller.answers["comm"] = lambda _h, _b: answers[len(ends)]
    for count in (1, 2, 3):
        heard.link.send(1, MESSAGE, lambda *_: None, ends.append)
        eventually(lambda count=count: len(ends) == count)  # type: ignore[misc]
    assert ends == [None, {"ename": "E"}, {"ename": "InvalidEngineID", "evalue": "gone"}]
    asked = controller.asked[-1]
    assert asked["content"] == {"msg_type": "comm_msg", "comm_id": "c", "data": {"x": 1}}
    assert (asked["targets"], asked["payloads"], asked["keep"]) == ([1], [2], False)
    assert controller.sent[-1] == [b"a", b"b"]


def test_the_end_of_the_client_is_told_once(scripted: Both) -> None:
    mec, controller = scripted
    heard = Heard(mec, controller)
    mec.close()
    eventually(lambda: bool(heard.gone))
    assert heard.gone == [heard.link]
    assert not heard.link.is_open
    with pytest.raises(FleetError, match="closed"):
        heard.link.send(1, MESSAGE, lambda *_: None, lambda _: None)


def test_the_values_of_widgets_can_be_asked_for_without_a_bridge(scripted: Both) -> None:
    mec, controller = scripted
    opening = {
        **LISTED, "msg_type": "comm_open", "buffers": 0,
        "content": {"comm_id": "c", "data": {"state": {"value": 1}}},
    }  # fmt: skip
    controller.answers["comm_states"] = lambda _h, _b: ({"value": [opening, LISTED]}, [b"a", b"b"])
    assert values_of(mec, [(1, "c")]) == {1: {"c": {"value": 1}}}
    assert controller.asked[-1]["of"] == [[1, "c"]]
    refusal = {"refused": {"ename": "FleetStopped", "evalue": "gone"}}
    controller.answers["comm_states"] = lambda _h, _b: (refusal, [])
    assert values_of(mec, [(1, "c")]) == {}
