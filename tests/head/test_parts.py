"""parts.py: each node gets one message with its share, and results come back to their places."""

from __future__ import annotations

from typing import Any

from kernelfleet.controller.requests import CallError, Request
from kernelfleet.controller.told_imports import Imports
from kernelfleet.head.parts import SplitRequest, part_of, split_frames
from kernelfleet.wire.operations import OPERATIONS
from kernelfleet.wire.outputs import to_pages


def request(targets: list[int], **fields: Any) -> Request:
    done: list[Request] = []
    return Request(
        client="me", result_id="r-1", operation=OPERATIONS["push"], targets=targets,
        content={"x": 1}, label="push", payloads=fields.pop("payloads", []),
        assign=fields.pop("assign", [0] * len(targets)), on_done=done.append, **fields,
    )  # fmt: skip


class Node:
    """A node that keeps what it is sent until it is told how to answer."""

    def __init__(self, name: str) -> None:
        self.name, self.loss = name, f"its node {name} is lost: cut"
        self.owners: dict[str, str | None] = {}
        self.sent: list[tuple[dict[str, Any], list[Any]]] = []
        self.done: Any = None
        self.on_event: Any = None

    def send(self, header: dict[str, Any], frames: list[Any], done: Any, on_event: Any) -> None:
        self.sent.append((header, frames))
        self.done, self.on_event = done, on_event


def split(of: Request, places: dict[Any, list[int]]) -> tuple[SplitRequest, list[CallError]]:
    refused: list[CallError] = []
    made = SplitRequest(of, refused.append)
    made.send(places, {"operation": "push", "label": "push", "n": 7, "ack": 3, "release": ["x"]})
    return made, refused


def answer(*ids: int) -> dict[str, Any]:
    results = [{"id": each, "ok": True, "buffers": 1, "outputs": 0} for each in ids]
    return {"type": "reply", "results": results}


def test_a_part_has_the_share_of_its_node_and_each_group_of_data_once() -> None:
    of = request([0, 1, 2, 3], payloads=[[b"a"], [b"b", b"c"]], assign=[0, 1, 1, 1])
    part = part_of(of, {"operation": "push", "label": "push", "stream": True, "n": 7}, [1, 3])
    assert part.frames == [b"b", b"c"]
    assert part.header == {
        "operation": "push", "label": "push", "stream": True, "content": {"x": 1},
        "result_id": "r-1", "owner": "me", "keep": False, "targets": [1, 3],
        "payloads": [2], "assign": [0, 0],
    }  # fmt: skip


def test_frames_are_cut_as_the_results_say() -> None:
    assert split_frames([{"buffers": 2, "outputs": 1}, {"buffers": 0}, {"buffers": 1}]) == [
        (0, 2, 3), (3, 3, 3), (3, 4, 4),
    ]  # fmt: skip


def test_answers_of_nodes_are_put_together_in_the_order_of_the_targets() -> None:
    of, one, two = request([0, 1, 2]), Node("one"), Node("two")
    made, refused = split(of, {one: [0, 2], two: [1]})
    two.done(answer(1), [b"1"])
    assert of.remaining == 2
    one.done(answer(0, 2), [b"0", b"2"])
    assert [each["id"] for each in of.results if each] == [0, 1, 2]
    assert of.payload_frames == [b"0", b"1", b"2"]
    assert not refused
    assert not made.open


def test_what_was_on_a_lost_node_has_died_and_may_have_run() -> None:
    of, one, two = request([0, 1]), Node("one"), Node("two")
    split(of, {one: [0], two: [1]})
    one.done(None, [])
    two.done(answer(1), [b"1"])
    lost, good = of.results
    assert lost is not None
    assert good is not None
    assert good["ok"]
    assert lost["error"]["ename"] == "EngineDied"
    assert lost["error"]["evalue"] == "its node one is lost: cut"
    assert lost["error"]["ran"]


REFUSED = {"type": "reply", "refused": {"ename": "QueueFull", "evalue": "wait"}}


def test_a_request_that_no_node_takes_is_refused_as_a_whole() -> None:
    of, one, two = request([0, 1]), Node("one"), Node("two")
    _, refused = split(of, {one: [0], two: [1]})
    one.done(REFUSED, [])
    assert not refused
    two.done(REFUSED, [])
    assert [(error.ename, error.text) for error in refused] == [("QueueFull", "wait")]
    assert of.remaining == 2


def test_a_request_that_one_of_several_nodes_refuses_fails_on_its_engines() -> None:
    of, one, two = request([0, 1]), Node("one"), Node("two")
    _, refused = split(of, {one: [0], two: [1]})
    gone = {"type": "reply", "refused": {"ename": "InvalidEngineID", "evalue": "engine 0 died"}}
    one.done(gone, [])
    two.done(answer(1), [b""])
    assert not refused
    assert of.results[0] is not None
    assert of.results[0]["error"]["ename"] == "EngineDied"


def test_a_node_is_told_once_what_a_client_can_import() -> None:
    one = Node("one")
    for name, text in (("i1", "first"), ("i1", "first"), ("i2", "second")):
        split(request([0], imports=Imports(name, text)), {one: [0]})
        one.done(answer(0), [b""])
    assert [header.get("imports_text") for header, _ in one.sent] == ["first", None, "second"]
    split(request([0], imports=Imports("i2", "second")), {one: [0]})
    one.done(REFUSED, [])  # perhaps it has not kept them
    split(request([0], imports=Imports("i2", "second")), {one: [0]})
    assert one.sent[-1][0]["imports_text"] == "second"


def test_a_request_that_needs_no_imports_between_two_does_not_have_them_told_again() -> None:
    one = Node("one")
    for imports in (Imports("i1", "first"), None, Imports("i1", "first")):
        split(request([0], imports=imports), {one: [0]})
        one.done(answer(0), [b""])
    assert [header.get("imports_text") for header, _ in one.sent] == ["first", None, None]


def test_a_node_that_has_refused_a_client_hears_that_it_leaves() -> None:
    one = Node("one")
    split(request([0], imports=Imports("i1", "first")), {one: [0]})
    one.done(REFUSED, [])
    assert one.owners == {"me": None}
    split(request([0]), {one: [0]})
    one.owners.clear()  # the client leaves while its request is under way
    one.done(REFUSED, [])
    assert one.owners == {}


def test_output_goes_to_the_client_and_to_followers_that_have_caught_up() -> None:
    heard: list[Any] = []
    of, one = request([0], on_output=lambda *said: heard.append(said)), Node("one")
    made, _ = split(of, {one: [0]})
    followed: list[Any] = []
    made.followers.add("f", "other", lambda *said: followed.append(said))
    output = {"type": "event", "event": "output", "engine": 0}
    one.on_event(output, to_pages("stream", b'"1"'))
    one.on_event({**output, "follower": "f"}, to_pages("stream", b'"1"'))
    one.on_event({"type": "event", "event": "followed", "follower": "f"}, [])
    one.on_event(output, to_pages("stream", b'"2"'))
    assert [bytes(content) for _, _, content in heard] == [b'"1"', b'"2"']
    assert [bytes(content) for _, _, content in followed] == [b'"1"', b'"2"']
