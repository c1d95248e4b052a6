"""decode.py: replies to values and errors."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet import errors
from kernelfleet.client.results.decode import Reader, engine_error
from kernelfleet.client.results.replies import Reply
from kernelfleet.errors import CompositeError, RemoteError, SerializationError
from kernelfleet.wire.objects.serialize import pack

READER = Reader(lambda engine_id, number, made: (engine_id, number, made))


def reply(*values: Any) -> Reply:
    packed = [pack(value) for value in values]
    results = [{"id": i, "ok": True, "buffers": len(frames)} for i, frames in enumerate(packed)]
    return Reply({"results": results}, [frame for frames in packed for frame in frames])


@pytest.mark.parametrize(
    ("kind", "names", "values", "expected"),
    [
        ("pull", ["a"], [[1], [2]], [1, 2]),
        ("pull", ["a", "b"], [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("zip_pull", ["a", "b"], [[1, 2], [3, 4]], [(1, 3), (2, 4)]),
        ("zip_pull", ["a", "b"], [[1, 2]], [1, 2]),
        ("zip_pull", ["a", "b"], [], []),
        ("gather", ["a"], [[[1]], [[2, 3]]], [1, 2, 3]),
        ("gather", ["a"], [], []),
    ],
)
def test_values_take_the_form_of_the_verb(
    kind: str, names: list[str], values: list[Any], expected: list[Any]
) -> None:
    assert READER.read(reply(*values), {"kind": kind, "names": names}) == expected


def test_a_value_that_cannot_be_read_here_fails_its_engine_alone() -> None:
    broken = reply(1, 2)
    broken.buffers[1] = b"no pickle"
    with pytest.raises(CompositeError) as caught:
        READER.read(broken, {"kind": "apply"})
    assert isinstance(caught.value.exceptions[0], SerializationError)
    assert caught.value.failures[0].engine_id == 1
    assert caught.value.results == {0: 1}


def test_a_refused_request_raises_what_the_controller_named() -> None:
    for name, kind in (
        ("InvalidEngineID", errors.InvalidEngineID),
        ("ValueError", ValueError),
        ("SystemExit", errors.FleetError),
    ):
        refusal = Reply({"refused": {"ename": name, "evalue": "text"}}, [])
        with pytest.raises(kind, match="text"):
            READER.read(refusal, {"kind": "none"})


def test_a_plain_answer_is_its_value() -> None:
    assert READER.read(Reply({"value": 3}, []), {"kind": "none"}) == 3


def test_an_engine_cannot_send_an_interrupt() -> None:
    info = {"ename": "KeyboardInterrupt", "evalue": "", "engine_id": 0, "traceback": []}
    error = engine_error(info, pack(KeyboardInterrupt()))
    assert isinstance(error, RemoteError)


def test_an_error_that_does_not_load_is_a_remote_error() -> None:
    info = {"ename": "Odd", "evalue": "x", "engine_id": 2, "traceback": ["line"]}
    error = engine_error(info, [b"no pickle"])
    assert isinstance(error, RemoteError)
    assert (error.ename, error.evalue, error.engine_id) == ("Odd", "x", 2)


def test_the_controllers_own_errors_have_their_types() -> None:
    for ename, kind in (
        ("QueueCleared", errors.QueueCleared),
        ("FleetStopped", errors.FleetStopped),
        ("EngineDied", errors.EngineDied),
        ("TimeoutError", TimeoutError),
        ("Something", errors.FleetError),
    ):
        info = {"ename": ename, "evalue": "text", "kind": "engine", "engine_id": 1}
        error = engine_error(info, [])
        assert isinstance(error, kind)
        assert "text" in str(error)


def test_a_kind_that_is_not_known_here_is_an_error_that_names_it() -> None:
    for decode in ({"kind": "read"}, {"kind": "__init__"}, {}):
        with pytest.raises(errors.FleetError, match="cannot read results of the kind"):
            READER.read(reply(1), decode)
