"""What is handed to whom: nothing to who has gone, and not everything to who does not read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernelfleet.controller.clients import OUTPUT_LEFT_OUT, Clients
from kernelfleet.controller.limits import Limits
from kernelfleet.wire.outputs import read_pages

STREAM = b'{"name": "stdout", "text": "x"}'
REPLY = {"type": "reply", "to": 3, "result_id": "r", "results": [1]}


class Reader:
    """A peer that says how far behind it is."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.buffers: list[list[Any]] = []
        self.has_room, self.is_behind = True, False

    def deliver(self, header: dict[str, Any], buffers: list[Any]) -> None:
        self.got.append(header)
        self.buffers.append(buffers)


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def clients(reader: Reader) -> Clients:
    clients = Clients(Limits(unread_bytes=2**20))
    clients.add("me", reader)
    return clients


def test_who_has_gone_is_handed_nothing(clients: Clients, reader: Reader) -> None:
    clients.remove("me")
    clients.remove("me")
    clients.deliver("me", {}, [])
    clients.answer("me", REPLY, [])
    clients.stream_to("me", 1)(0, "stream", STREAM)
    clients.tell_all({})
    assert "me" not in clients
    assert reader.got == []


def test_a_result_for_who_does_not_read_is_dropped_and_told(
    clients: Clients, reader: Reader
) -> None:
    clients.answer("me", REPLY, [b"data"])
    reader.has_room = False
    clients.answer("me", REPLY, [b"data"])
    assert reader.got[0] == REPLY
    assert reader.buffers == [[b"data"], []]
    told = reader.got[1]
    assert (told["type"], told["to"], told["result_id"]) == ("reply", 3, "r")
    assert "results" not in told
    assert "dropped: more than 1048576 bytes" in told["refused"]["evalue"]


def test_streamed_output_is_left_out_with_a_note_but_never_a_question(
    clients: Clients, reader: Reader
) -> None:
    output: Any = clients.stream_to("me", 1)
    output(0, "stream", STREAM)
    reader.is_behind = True
    for _ in range(3):
        output(0, "stream", STREAM)
    output(0, "input_request", b'{"prompt": "?"}')
    output(0, "stream", STREAM)
    reader.is_behind = False
    output(1, "stream", STREAM)
    output(0, "stream", STREAM)
    output(0, "stream", STREAM)
    note = json.dumps({"name": "stderr", "text": OUTPUT_LEFT_OUT}).encode()
    contents = [bytes(each.content) for pages in reader.buffers for each in read_pages(pages)]
    engines = [each["engine"] for each in reader.got]
    assert list(zip(engines, contents, strict=True)) == [
        (0, STREAM),
        (0, note),
        (0, b'{"prompt": "?"}'),
        (1, STREAM),
        (0, note),
        (0, STREAM),
        (0, STREAM),
    ]
