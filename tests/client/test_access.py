"""What front ends may do with a client beyond its public methods."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kernelfleet import CallTimeout, CompositeError, MultiEngineClient
from kernelfleet.client import access
from kernelfleet.errors import InvalidEngineID
from tests.gate import Gate


@pytest.fixture
def transport() -> str:
    return "embedded"  # (the same code for all of them)


def test_engines_and_targets_are_known_without_asking(mec: MultiEngineClient) -> None:
    assert access.engine_ids(mec) == mec.get_ids() == access.resolve_targets(mec)
    assert access.dead_engine_ids(mec) == []
    assert access.resolve_targets(mec.view([2, 0])) == [2, 0]
    assert access.resolve_targets(mec, slice(-1, None)) == [mec.get_ids()[-1]]
    with pytest.raises(InvalidEngineID, match="no engine 99"):
        access.resolve_targets(mec, 99)
    access.engine_ids(mec).clear()  # a copy
    assert access.engine_ids(mec)


def test_a_fleet_has_a_name_and_a_client_is_open_until_it_is_closed(
    connect: Any, mec: MultiEngineClient
) -> None:
    client = connect()
    assert access.fleet_name(client) in repr(client)
    assert access.is_open(client)
    client.close()
    assert not access.is_open(client)


def test_code_is_started_with_its_outputs_going_to_a_function(mec: MultiEngineClient) -> None:
    heard: list[tuple[int, str]] = []
    pending = access.start_code(
        mec, "print('hello'); 1/0", [1],
        lambda engine, kind, content: heard.append((engine, kind)), allow_stdin=False,
    )  # fmt: skip
    with pytest.raises(CompositeError) as caught:
        access.wait(mec, pending, 30)
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)
    assert (1, "stream") in heard


def test_waiting_may_be_done_by_a_function_and_ends_at_the_timeout(
    mec: MultiEngineClient, gate: Gate
) -> None:
    pending = access.start_code(mec, "40 + 2", [0], None, allow_stdin=False)
    watched: list[float | None] = []

    def watch(call: Any, timeout: float | None) -> None:
        watched.append(timeout)
        call.wait(30)

    assert access.wait(mec, pending, 20, watch)[0].value == 42
    assert watched == [20]
    waiting = access.start_code(mec, gate.code, [0], None, allow_stdin=False)
    with pytest.raises(CallTimeout):
        access.wait(mec, waiting, 0.01)
    progress = access.ask_progress(waiting)
    assert progress is not None
    assert (progress["done"], progress["total"], progress["left"]) == (0, 1, [0])
    gate.open()
    assert access.follow(waiting, watch)[0]["id"] == 0
    assert watched == [20, None]


def test_what_was_typed_reaches_the_code_that_asked(mec: MultiEngineClient) -> None:
    asked = threading.Event()

    def heard(engine: int, kind: str, content: dict[str, Any]) -> None:
        if kind == "input_request":
            asked.set()

    pending = access.start_code(mec, "input('name? ')", [0], heard, allow_stdin=True)
    assert asked.wait(20)
    access.answer_input(mec, pending, 0, "Ada", 5)
    assert access.wait(mec, pending, 30)[0].value == "Ada"


def test_a_script_is_started_under_its_path_with_its_arguments(mec: MultiEngineClient) -> None:
    code = "import sys\nprint(__file__, sys.argv[1:])"
    pending = access.start_script(
        mec.view(0), code, "/a/script.py", ["script.py", "-n", "3"], lambda *_: None
    )
    assert access.wait(mec, pending, 30).stdout == ["/a/script.py ['-n', '3']\n"]


def test_a_call_is_attached_to_with_what_it_has_shown(mec: MultiEngineClient) -> None:
    pending = mec.execute("print('before')", targets=0, block=False)
    pending.result(30)
    heard: list[Any] = []
    again = access.attach(mec, pending.result_id, lambda *message: heard.append(message))
    assert access.wait(mec, again, 30).stdout == ["before\n"]


def test_an_idle_engine_completes_and_inspects_code(mec: MultiEngineClient) -> None:
    mec.execute("long_name = 3", targets=0)
    answer = access.ask_about_code(mec, "complete", 10, engine=0, code="long_n", cursor_pos=6)
    assert answer is not None
    assert "long_name" in answer["matches"]
    told = access.ask_about_code(
        mec, "inspect", 10, engine=0, code="long_name", cursor_pos=9, detail_level=0
    )
    assert told is not None
    assert told["found"]


def test_what_a_controller_has_refused_is_counted(mec: MultiEngineClient) -> None:
    assert not any(access.refused_peers(mec, 10).values())
