from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from kernelfleet.engine.requests import error_answer, parse
from kernelfleet.wire.jupyter import encode_compact
from kernelfleet.wire.objects.serialize import unpack


def frames_of(session: Session, msg_type: str, buffers: tuple[bytes, ...] = ()) -> list[Any]:
    parts = encode_compact(session, msg_type, "id-7", {"names": ["a"]})
    return [zmq.Frame(part) for part in (b"who", *parts, *buffers)]


def test_a_request_of_the_fleet_is_read() -> None:
    session = Session(key=b"k")
    request = parse(session, frames_of(session, "fleet_pull_request", (b"x",)))
    assert request is not None
    assert request.msg_type == "fleet_pull_request"
    assert (request.asker, request.msg_id) == (b"who", "id-7")
    assert request.content == {"names": ["a"]}
    assert [frame.bytes for frame in request.buffers] == [b"x"]


def test_other_requests_are_not_ours() -> None:
    session = Session(key=b"k")
    message = session.serialize(session.msg("execute_request", {}), b"who")
    assert parse(session, [zmq.Frame(part) for part in message]) is None
    assert parse(session, [zmq.Frame(b"stop aborting")]) is None


def test_a_wrong_signature_is_refused() -> None:
    with pytest.raises(ValueError, match="signature"):
        parse(Session(key=b"other"), frames_of(Session(key=b"k"), "fleet_pull_request"))


def test_what_is_published_for_a_request_has_a_whole_parent_header() -> None:
    session = Session(key=b"k")
    request = parse(session, frames_of(session, "fleet_execute_request"))
    assert request is not None
    header = request.as_parent()["header"]
    assert header.keys() == session.msg_header("execute_request").keys()
    assert (header["msg_id"], header["session"]) == ("id-7", "who")
    assert session.unpack(session.pack(header)) == header
    date = datetime.fromisoformat(header["date"])
    assert date.timestamp() == pytest.approx(request.received)


def test_errors_travel_unless_they_would_end_the_caller() -> None:
    answer = error_answer(KeyError("k"), ["line"])
    assert answer.content["ename"] == "KeyError"
    assert answer.content["traceback"] == ["line"]
    assert isinstance(unpack(answer.buffers), KeyError)
    for error in (KeyboardInterrupt(), SystemExit(3), GeneratorExit()):
        assert not error_answer(error).buffers
