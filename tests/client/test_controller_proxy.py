"""connection.py: requests, replies and what happens when the controller goes."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from kernelfleet.client.controller_proxy import (
    ControllerProxy,
    close_when_collected,
    raise_if_refused,
)
from kernelfleet.client.results.replies import Reply
from kernelfleet.errors import ControllerUnreachable, FleetError
from kernelfleet.session import loop
from kernelfleet.session.transport import Transport
from kernelfleet.wire.outputs import to_pages

ROSTER = {"ids": [0, 1], "dead": {"2": "killed"}, "total": 3}


class Script:
    """A transport whose controller is the test; runs on the loop thread."""

    def __init__(self, connection: ControllerProxy, *, welcome: bool = True) -> None:
        self.connection = connection
        self.headers: list[dict[str, Any]] = []
        self.sent = 0
        self.closed = False
        if welcome:
            connection.receive({"type": "welcome", "roster": ROSTER, "name": "scripted"}, [])

    def number(self, header: dict[str, Any], buffers: list[Any]) -> dict[str, Any]:
        self.sent += 1
        return {**header, "n": self.sent}

    def send(self, numbered: dict[str, Any], buffers: list[Any]) -> None:
        header = {name: value for name, value in numbered.items() if name != "n"}
        self.headers.append(header)
        if header.get("operation") == "echo":
            self.connection.receive(
                {"type": "reply", "to": numbered["n"], "value": header}, buffers
            )

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def scripts() -> Iterator[list[Script]]:
    made: list[Script] = []
    yield made
    for script in made:
        script.connection.close()


def connected(scripts: list[Script], **options: bool) -> ControllerProxy:
    def make(_: str, connection: ControllerProxy) -> Transport:
        scripts.append(Script(connection, **options))
        return scripts[-1]

    return ControllerProxy(loop.acquire(), make, "a test")


def test_a_reply_finds_its_request(scripts: list[Script]) -> None:
    connection = connected(scripts)
    future = connection.request({"type": "request", "operation": "wait"}, [])
    assert connection.call("echo", 10, text="hi").header["value"]["text"] == "hi"
    assert not future.done()
    assert connection.is_waiting
    connection.receive({"type": "reply", "to": 1, "value": 7}, [b"x"])
    assert future.result(10) == Reply({"type": "reply", "to": 1, "value": 7}, [b"x"])
    connection.receive({"type": "reply", "to": 1, "value": 8}, [])  # nobody waits any more
    assert not connection.is_waiting


def test_the_welcome_and_events_tell_who_is_there(scripts: list[Script]) -> None:
    connection = connected(scripts)
    assert (connection.roster.ids, connection.roster.dead) == ([0, 1], {2: "killed"})
    event = {"type": "event", "event": "roster", "roster": {**ROSTER, "ids": [0], "dead": {}}}
    connection.receive(event, [])
    assert (connection.roster.ids, connection.roster.dead) == ([0], {})


def test_output_goes_to_the_call_it_belongs_to(scripts: list[Script]) -> None:
    connection = connected(scripts)
    seen: list[Any] = []
    connection.request(
        {"type": "request", "operation": "wait"}, [], lambda *message: seen.append(message)
    )
    connection.call("echo", 10)
    for to in (1, 2, 9):
        event = {"type": "event", "event": "output", "to": to, "engine": 0}
        for content in (b'{"text": "x"}', b"no JSON"):
            connection.receive(event, to_pages("stream", content))
    assert seen == [(0, "stream", {"text": "x"})]


def test_when_the_controller_goes_what_waits_fails_and_so_does_what_comes(
    scripts: list[Script],
) -> None:
    connection = connected(scripts)
    future = connection.request({"type": "request", "operation": "wait"}, [])
    connection.call("echo", 10)
    connection.lost("it went")
    with pytest.raises(ControllerUnreachable, match="it went"):
        future.result(10)
    with pytest.raises(ControllerUnreachable, match="it went"):
        connection.request({"type": "request", "operation": "wait"}, [])
    assert not connection.is_open


def test_while_nobody_answers_calls_fail_and_a_welcome_heals(scripts: list[Script]) -> None:
    connection = connected(scripts)
    changes: list[bool] = []
    connection.when_changed(lambda: changes.append(connection.is_open))
    kept = connection.request({"type": "request", "operation": "wait", "result_id": "r-1"}, [])
    batch = connection.request(
        {"type": "request", "operation": "wait", "result_id": "r-2", "keep": False}, []
    )
    connection.call("echo", 10)
    connection.away("it sleeps")
    assert (connection.state, connection.is_open, connection.is_waiting) == (
        "unreachable", False, False,
    )  # fmt: skip
    with pytest.raises(ControllerUnreachable, match=r"sleeps.*mec.pending_result\('r-1'\)") as told:
        kept.result(10)
    assert told.value.result_id == "r-1"
    with pytest.raises(ControllerUnreachable, match="keeps trying") as told:
        batch.result(10)
    assert told.value.result_id is None
    with pytest.raises(ControllerUnreachable, match="sleeps"):
        connection.request({"type": "request", "operation": "wait"}, [])
    connection.receive({"type": "reply", "to": 1, "value": "late"}, [])  # nobody is told twice
    connection.receive({"type": "welcome", "roster": ROSTER, "name": "scripted"}, [])
    assert connection.state == "open"
    assert connection.call("echo", 10, text="hi").header["value"]["text"] == "hi"
    assert changes == [False, True]


def test_what_was_let_go_in_a_request_that_failed_is_told_again(scripts: list[Script]) -> None:
    connection = connected(scripts)
    connection.release("a")
    future = connection.request({"type": "request", "operation": "wait"}, [])
    connection.call("echo", 10)
    connection.away("it sleeps")
    with pytest.raises(ControllerUnreachable):
        future.result(10)
    connection.receive({"type": "welcome", "roster": ROSTER, "name": "scripted"}, [])
    assert connection.call("echo", 10).header["value"]["release"] == ["a"]


def test_who_is_lost_for_good_after_a_while_says_only_that(scripts: list[Script]) -> None:
    connection = connected(scripts)
    connection.away("it sleeps")
    connection.lost("it was stopped")
    with pytest.raises(ControllerUnreachable, match="it was stopped") as told:
        connection.request({"type": "request", "operation": "wait"}, [])
    assert "keeps trying" not in str(told.value)


def test_an_unreachable_error_survives_pickling() -> None:
    error = ControllerUnreachable("gone", result_id="r-1")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.result_id) == ("gone", "r-1")


def test_closing_fails_what_waits_and_may_be_done_twice(scripts: list[Script]) -> None:
    connection = connected(scripts)
    future = connection.request({"type": "request", "operation": "wait"}, [])
    connection.call("echo", 10)
    connection.close()
    connection.close()
    assert scripts[0].closed
    with pytest.raises(FleetError, match="closed before"):
        future.result(10)
    with pytest.raises(FleetError, match="closed"):
        connection.request({"type": "request", "operation": "wait"}, [])


def test_results_that_were_let_go_are_told_with_the_next_request(scripts: list[Script]) -> None:
    connection = connected(scripts)
    connection.release("a")
    connection.release("b")
    assert connection.call("echo", 10).header["value"]["release"] == ["a", "b"]
    assert "release" not in connection.call("echo", 10).header["value"]


def test_who_gets_no_welcome_gives_up(
    scripts: list[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelfleet.client.controller_proxy.CONNECT_TIMEOUT", 0.01)
    with pytest.raises(ControllerUnreachable, match="a test: no answer"):
        connected(scripts, welcome=False)
    assert scripts[0].closed


def test_a_transport_that_cannot_be_made_is_an_error_of_the_caller() -> None:
    def make(_: str, __: ControllerProxy) -> Transport:
        raise OSError("no socket")

    with pytest.raises(OSError, match="no socket"):
        ControllerProxy(loop.acquire(), make, "a test")


def test_a_blocking_call_on_the_loop_thread_is_refused(scripts: list[Script]) -> None:
    connection = connected(scripts)
    errors: list[str] = []

    def call(_: object) -> None:
        try:
            connection.call("echo", 1)
        except FleetError as error:
            errors.append(str(error))

    future = connection.request({"type": "request", "operation": "wait"}, [])
    future.add_done_callback(call)
    thread = loop.acquire()
    thread.call(connection.receive, {"type": "reply", "to": 1}, [])
    future.result(10)
    connection.call("echo", 10)
    loop.release(thread)
    assert "block=False" in errors[0]


def test_a_connection_goes_with_its_last_client(scripts: list[Script]) -> None:
    class Owner:
        pass

    owner = Owner()
    close_when_collected(owner, connected(scripts))
    del owner
    gc.collect()
    assert scripts[0].closed


def test_result_ids_are_never_the_same(scripts: list[Script]) -> None:
    first, second = connected(scripts), connected(scripts)
    ids = {each.next_result_id() for each in (first, second) for _ in range(50)}
    assert len(ids) == 100


def test_a_reply_that_is_no_refusal_is_given_back() -> None:
    reply = Reply({"value": 1}, [])
    assert raise_if_refused(reply) is reply
