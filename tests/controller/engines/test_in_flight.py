"""When an answer is complete, and what it says: our own words and plain Jupyter's."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from typing import Any

import pytest

from kernelfleet.controller.engines.in_flight import (
    DATA_MIME,
    MAX_REPLY_BYTES,
    NativeInFlight,
    Outcome,
    PortableInFlight,
    encode_native,
    encode_portable,
    portable_in_flight,
)
from kernelfleet.controller.requests import Job, Request
from kernelfleet.wire.jupyter import KernelMessage, decode, make_session
from kernelfleet.wire.operations import OPERATIONS, Operation
from kernelfleet.wire.outputs import content_of, read_pages


def job(verb: str = "execute", **content: Any) -> Job:
    asked = Request(
        client="me", result_id="r", operation=OPERATIONS[verb], targets=[0], content=content,
        label=verb, payloads=[], assign=[0], on_done=lambda _: None,
    )  # fmt: skip
    return asked.jobs()[0]


def message(msg_type: str, buffers: tuple[bytes, ...] = (), **content: Any) -> KernelMessage:
    return KernelMessage([], msg_type, "s", "m", {}, list(buffers), json.dumps(content).encode())


def texts(outcome: Outcome) -> list[Any]:
    """What the published messages of an outcome say, one each."""
    return [(content_of(each) or {}).get("text") for each in read_pages(outcome.outputs)]


def is_complete(run: NativeInFlight | PortableInFlight) -> bool:
    """As a call, because mypy takes a property for unchanging."""
    return run.complete


def status(state: str) -> KernelMessage:
    return message("status", execution_state=state)


def stream(text: str) -> KernelMessage:
    return message("stream", name="stdout", text=text)


REPLY: dict[str, Any] = {"status": "ok", "execution_count": 3}


# -- portable ---------------------------------------------------------------------------------


def test_reply_before_idle() -> None:
    run = PortableInFlight(job(), "m")
    run.take_iopub(status("busy"))
    run.take_reply(message("execute_reply", **REPLY))
    assert not is_complete(run)
    run.take_iopub(stream("late\n"))
    run.take_iopub(status("idle"))
    assert is_complete(run)
    outcome = run.outcome()
    result = outcome.result
    assert (result["ok"], result["number"], outcome.buffers) == (True, 3, [])
    assert texts(outcome) == ["late\n"]


def test_idle_before_reply() -> None:
    run = PortableInFlight(job(), "m")
    run.take_iopub(status("idle"))
    assert not is_complete(run)
    run.take_reply(message("execute_reply", **REPLY))
    assert is_complete(run)


def test_a_lost_reply_is_an_interrupt_once_it_is_known_that_none_will_come() -> None:
    run = PortableInFlight(job(), "m")
    run.take_iopub(stream("before\n"))
    run.take_iopub(status("idle"))
    assert not is_complete(run)
    run.reply_lost = True
    assert is_complete(run)
    outcome = run.outcome()
    assert outcome.result["error"]["ename"] == "KeyboardInterrupt"
    assert texts(outcome) == ["before\n"]


def test_a_lost_reply_without_idle_is_not_complete() -> None:
    run = PortableInFlight(job(), "m")
    run.reply_lost = True
    assert not is_complete(run)


def test_a_cell_has_begun_when_its_input_is_shown_and_data_verbs_when_busy() -> None:
    run, data = PortableInFlight(job(), "m"), PortableInFlight(job("pull"), "m")
    for each in (run, data):
        each.take_iopub(status("busy"))
    assert (run.begun, data.begun) == (False, True)
    run.take_iopub(message("execute_input", code="1"))
    assert run.begun


def test_an_error_is_told_with_the_published_traceback() -> None:
    run = PortableInFlight(job(), "m")
    run.take_iopub(message("error", ename="E", evalue="v", traceback=["line"]))
    run.take_iopub(status("idle"))
    run.take_reply(message("execute_reply", status="error", ename="E", evalue="v"))
    result = run.outcome().result
    assert result["error"] == {"ename": "E", "evalue": "v", "traceback": ["line"], "kind": "user"}


def test_aborted_means_that_nothing_ran() -> None:
    run = PortableInFlight(job(), "m")
    run.take_reply(message("execute_reply", status="aborted"))
    assert run.aborted


@pytest.mark.parametrize(
    ("payload", "exiting"),
    [
        ([], False),
        ([{"source": "ask_exit", "keepkernel": False}], True),
        ([{"source": "ask_exit", "keepkernel": True}], False),
        ([{"source": "page"}], False),
    ],
)
def test_a_cell_that_asks_to_exit_is_known(payload: list[dict[str, Any]], exiting: bool) -> None:
    run = PortableInFlight(job(), "m")
    run.take_reply(message("execute_reply", **REPLY, payload=payload))
    assert run.exiting is exiting


def answered(expression: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    run = PortableInFlight(job("pull", names=["x"]), "m")
    run.take_reply(message("execute_reply", status="ok", user_expressions={"r": expression}))
    run.take_iopub(status("idle"))
    outcome = run.outcome()
    return outcome.result, outcome.buffers


def test_data_come_back_as_frames() -> None:
    answer = {"ok": True, "frames": [base64.b64encode(b"\x00data").decode()]}
    result, frames = answered({"status": "ok", "data": {DATA_MIME: json.dumps(answer)}})
    assert (result, frames) == ({"ok": True}, [b"\x00data"])


@pytest.mark.parametrize(
    "data", [{}, {DATA_MIME: "no json"}, {DATA_MIME: "{}"}, {DATA_MIME: '{"frames": ["*"]}'}]
)
def test_an_answer_without_data_is_an_error(data: dict[str, Any]) -> None:
    result, frames = answered({"status": "ok", "data": data})
    assert (result["ok"], frames) == (False, [])


def test_an_expression_that_failed_is_an_error_by_name() -> None:
    result, _ = answered({"status": "error", "ename": "E", "evalue": "v", "traceback": ["t"]})
    assert result["error"] == {"ename": "E", "evalue": "v", "traceback": ["t"], "kind": "user"}


def test_a_portable_execute_is_an_ordinary_one_that_aborts_nobody() -> None:
    session = make_session(b"key", "c")
    _, frames = encode_portable(session, job(code="x").request, [], "bash")
    sent = decode(session, frames)
    assert sent.msg_type == "execute_request"
    assert sent.content["code"] == "x"
    assert sent.content["store_history"]
    assert not sent.content["silent"]
    assert not sent.content["stop_on_error"]


def test_a_script_is_wrapped_for_python_and_is_code_to_other_languages() -> None:
    session = make_session(b"key", "c")
    request = job(code="x").request
    request.content.update(script_path="/there/tool.py", argv=["tool.py", "3"])

    def code_for(language: str) -> str:
        _, frames = encode_portable(session, request, [], language)
        return str(decode(session, frames).content["code"])

    script = code_for("python")
    assert script.endswith("__kernelfleet_script__('x', '/there/tool.py', ['tool.py', '3'])")
    assert code_for("bash") == "x"
    request.content["script_path"] = "/there/tool.ipy"
    assert code_for("python") == "x"


def test_portable_data_travel_as_text_and_leave_no_history() -> None:
    session = make_session(b"key", "c")
    _, frames = encode_portable(session, job("push").request, [b"\x00data"], "python")
    content = decode(session, frames).content
    assert base64.b64encode(b"\x00data").decode() in content["user_expressions"]["r"]
    assert content["silent"]
    assert not content["store_history"]


# -- native -----------------------------------------------------------------------------------


def test_a_native_answer_waits_for_the_output_it_announces() -> None:
    run = NativeInFlight(job(), "m")
    run.take_iopub(stream("1\n"))
    run.take_reply(message("fleet_execute_reply", status="ok", n_iopub=2, number=5))
    assert not is_complete(run)
    run.take_iopub(stream("2\n"))
    assert is_complete(run)
    outcome = run.outcome()
    assert (outcome.result["ok"], outcome.result["number"]) == (True, 5)
    assert texts(outcome) == ["1\n", "2\n"]


def test_a_native_answer_without_output_is_complete_at_once() -> None:
    run = NativeInFlight(job(), "m")
    run.take_reply(message("fleet_pull_reply", (b"data",), status="ok", n_iopub=0))
    assert is_complete(run)
    assert run.outcome() == Outcome({"ok": True}, [b"data"])


def test_output_that_never_comes_is_given_up() -> None:
    run = NativeInFlight(job(), "m")
    run.take_reply(message("fleet_execute_reply", status="ok", n_iopub=1))
    run.gave_up = True
    assert is_complete(run)


def test_a_native_error_carries_the_exception() -> None:
    run = NativeInFlight(job(), "m")
    error: dict[str, Any] = {"ename": "E", "evalue": "v", "traceback": ["t"], "kind": "user"}
    run.take_reply(message("fleet_execute_reply", (b"pickle",), status="error", n_iopub=0, **error))
    outcome = run.outcome()
    assert (outcome.result["ok"], outcome.result["error"], outcome.buffers) == (
        False,
        error,
        [b"pickle"],
    )


def test_outputs_are_carried_and_not_looked_into() -> None:
    run = NativeInFlight(job(), "m")
    nonsense = KernelMessage([], "display_data", "s", "m", {}, [], b"[1, 2")
    assert run.take_iopub(nonsense)
    run.take_reply(message("fleet_execute_reply", status="ok", n_iopub=1))
    assert [bytes(each.content) for each in read_pages(run.outcome().outputs)] == [b"[1, 2"]


def test_a_native_reply_that_is_as_long_as_data_is_none() -> None:
    run = NativeInFlight(job(), "m")
    run.take_reply(message("fleet_keys_reply", status="ok", keys=["x" * MAX_REPLY_BYTES]))
    result = run.outcome().result
    assert not result["ok"]
    assert "bytes beside its data" in result["error"]["evalue"]


QUEUED = [each for each in OPERATIONS.values() if each.queued and each.name != "comm"]


@pytest.mark.parametrize("operation", QUEUED, ids=lambda each: each.name)
def test_a_kernel_is_asked_what_the_table_says(operation: Operation) -> None:
    session = make_session(b"key", "c")
    content = {"code": "1"} if operation.name == "execute" else {"names": ["x"]}
    request = job(operation.name, **content).request
    sent = decode(session, [b"engine", *encode_native(session, request)[1]])
    assert (sent.msg_type, sent.content) == (f"fleet_{operation.asks}_request", content)
    sent = decode(session, encode_portable(session, request, [b"data"], "python")[1])
    assert sent.msg_type == "execute_request"
    asked = sent.content["user_expressions"]["r"]
    if operation.name == "execute":
        assert sent.content["code"] == "1"
        assert '["made", {}, []]' in asked
    else:
        assert f'["{operation.asks}", {{"names": ["x"]}}, ["ZGF0YQ=="]]' in asked


def test_a_message_for_a_comm_is_jupyters_own_where_the_kernel_is_not_ours() -> None:
    session = make_session(b"key", "c")
    content = {"msg_type": "comm_msg", "comm_id": "c", "data": {"x": 1}, "metadata": {"m": 2}}
    request = job("comm", **content).request
    ours = decode(session, [b"engine", *encode_native(session, request)[1]])
    assert (ours.msg_type, ours.content) == ("fleet_comm_request", content)
    _, frames = encode_portable(session, request, [b"data"], "R")
    theirs = decode(session, frames)
    assert (theirs.msg_type, theirs.content) == ("comm_msg", {"comm_id": "c", "data": {"x": 1}})
    assert theirs.metadata == {"m": 2}
    assert theirs.buffers == [b"data"]


def test_a_message_for_a_comm_has_no_reply_and_is_over_when_the_kernel_is_idle() -> None:
    run = portable_in_flight(job("comm", msg_type="comm_msg", comm_id="c", data={}), "m")
    for state in ("busy", "idle"):
        assert not run.complete
        run.take_iopub(KernelMessage([], "status", "s", "m", {}, [], state_of(state)))
    assert run.complete
    assert run.outcome().result == {"ok": True}
    assert not run.aborted
    assert type(portable_in_flight(job("execute", code="1"), "m")) is PortableInFlight


def state_of(state: str) -> bytes:
    return json.dumps({"execution_state": state}).encode()


def test_a_reply_whose_sender_was_killed_before_it_was_read_is_left_to_the_engines_death() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    handle = f"kernelfleet-buffer:[{process.pid},5,2000000]".encode()
    run = NativeInFlight(job("pull"), "m")
    run.take_reply(message("fleet_pull_reply", (handle,), status="ok", n_iopub=0))
    assert not is_complete(run)
    alive = f"kernelfleet-buffer:[{os.getpid()},99999,2000000]".encode()
    run.take_reply(message("fleet_pull_reply", (alive,), status="ok", n_iopub=0))
    assert is_complete(run)
