from __future__ import annotations

from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from kernelfleet.engine.requests import error_answer, parse
from kernelfleet.wire.objects.serialize import unpack


def frames_of(session: Session, msg_type: str, buffers: tuple[bytes, ...] = ()) -> list[Any]:
    message = session.msg(msg_type, {"names": ["a"]})
    return [zmq.Frame(part) for part in (*session.serialize(message, b"who"), *buffers)]


def test_a_request_of_the_fleet_is_read() -> None:
    session = Session(key=b"k")
    request = parse(session, frames_of(session, "fleet_pull_request", (b"x",)))
    assert request is not None
    assert request.msg_type == "fleet_pull_request"
    assert request.idents == [b"who"]
    assert request.content == {"names": ["a"]}
    assert [frame.bytes for frame in request.buffers] == [b"x"]


def test_other_requests_are_not_ours() -> None:
    session = Session(key=b"k")
    assert parse(session, frames_of(session, "execute_request")) is None
    assert parse(session, [zmq.Frame(b"stop aborting")]) is None


def test_a_wrong_signature_is_refused() -> None:
    with pytest.raises(ValueError, match="signature"):
        parse(Session(key=b"other"), frames_of(Session(key=b"k"), "fleet_pull_request"))


def test_errors_travel_unless_they_would_end_the_caller() -> None:
    answer = error_answer(KeyError("k"), ["line"])
    assert answer.content["ename"] == "KeyError"
    assert answer.content["traceback"] == ["line"]
    assert isinstance(unpack(answer.buffers), KeyError)
    for error in (KeyboardInterrupt(), SystemExit(3), GeneratorExit()):
        assert not error_answer(error).buffers
