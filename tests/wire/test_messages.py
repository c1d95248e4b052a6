"""What a client and a controller say to each other has the form that is declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kernelfleet.errors import CompositeError
from kernelfleet.wire.codec import Codec
from kernelfleet.wire.fields import fields_of, has_fields
from kernelfleet.wire.messages import JsonDict, kernel, replies
from kernelfleet.wire.operations import OPERATIONS
from tests.fleets import SharedFleets
from tests.protocol_page import REPLIES, SESSION

EVENTS: dict[str, type] = {
    "output": replies.OutputEvent,
    "roster": replies.EnginesEvent,
    "stopping": replies.EndEvent,
    "stopped": replies.EndEvent,
}


def declaration_of(header: JsonDict) -> type:
    """What a header is declared as."""
    if header["type"] == "request":
        return OPERATIONS[header["operation"]].request
    if header["type"] == "reply":
        return replies.Reply
    if header["type"] == "event":
        return EVENTS[header["event"]]
    return SESSION[header["type"]][1]


#: What any message may have beside its own fields. (A client names all requests by a result id;
#: operations that are answered at once do not look at it.)
OF_THE_SESSION = {"type", "n", "ack", "free", "operation", "session", "result_id"}


def test_what_is_said_is_what_is_declared(
    fleets: SharedFleets, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[JsonDict] = []
    encode, decode = Codec.encode, Codec.decode

    def encoded(codec: Codec, header: JsonDict, buffers: Sequence[Any] = ()) -> list[Any]:
        said.append(header)
        return encode(codec, header, buffers)

    def decoded(codec: Codec, frames: Sequence[Any]) -> tuple[JsonDict, list[Any]]:
        header, buffers = decode(codec, frames)
        said.append(dict(header))
        return header, buffers

    monkeypatch.setattr(Codec, "encode", encoded)
    monkeypatch.setattr(Codec, "decode", decoded)
    mec = fleets.client("unix")
    mec.execute("print('a'); 1/1", on_output=lambda *_: None)
    with pytest.raises(CompositeError):
        mec.execute("1/0")
    mec.push({"a": np.zeros(3_000_000)})
    assert mec.pull("a", targets=0)[0].size == 3_000_000
    mec.map(abs, range(8))
    mec.execute("1", block=False).result()
    for asked in (mec.keys, mec.queue_status, mec.get_result, mec.engines, mec.get_properties):
        asked()
    mec.peek("engine_id")
    mec.reset()
    mec.close()
    kinds = {header["type"] for header in said}
    assert {"hello", "challenge", "open", "welcome", "request", "reply", "event", "bye"} <= kinds
    for header in said:
        declared = declaration_of(header)
        assert has_fields(declared, header), header
        assert header.keys() <= set(fields_of(declared)) | OF_THE_SESSION, header


@pytest.mark.parametrize("message", [*REPLIES.values(), *(each for _, each, _ in SESSION.values())])
def test_every_declaration_can_be_checked(message: type) -> None:
    assert not has_fields(message, None)
    assert has_fields(message, {}) is not any(each.required for each in fields_of(message).values())


def test_a_result_without_a_field_or_with_one_of_another_form_is_none() -> None:
    good: JsonDict = {"type": "reply", "to": 1, "results": [{"id": 0, "ok": True, "buffers": 0}]}
    assert has_fields(replies.Reply, good)
    for bad in ({"id": 0, "ok": True}, {"id": 0, "ok": 1, "buffers": 0}, None):
        assert not has_fields(replies.Reply, {**good, "results": [bad]})
    assert not has_fields(replies.Reply, {**good, "to": "1"})
    assert has_fields(kernel.KernelReply, {"status": "ok", "anything": "else"})
    assert not has_fields(kernel.KernelReply, {"status": "fine"})
