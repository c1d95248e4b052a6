"""Whatever a kernel says, a run ends with a result that can be packed for a client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelfleet.controller.engines.in_flight import (
    DATA_MIME,
    NativeInFlight,
    PortableInFlight,
)
from kernelfleet.controller.engines.replies import (
    asks_exit,
    broken,
    error_of,
    number_of,
    unsound_field,
)
from kernelfleet.controller.requests import Job, Request
from kernelfleet.wire.jupyter import KernelMessage
from kernelfleet.wire.operations import OPERATIONS
from kernelfleet.wire.outputs import OUTPUT_TYPES

SOUND: dict[str, Any] = {
    "status": "error", "ename": "ValueError", "evalue": "no", "traceback": ["line"], "kind": "user",
    "n_iopub": 0, "number": 3, "exiting": False, "started": 1.5, "completed": 2,
}  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = (
    *SOUND, "keys", "name", "translated", "payload", "execution_count", "user_expressions", "data",
    "metadata", "transient", "text", "wait", "execution_state",
)  # fmt: skip
contents = st.dictionaries(st.sampled_from(FIELDS), json_values).map(lambda c: {**SOUND, **c})
loose = st.dictionaries(st.sampled_from(FIELDS), json_values)
VERBS = ["execute", "pull", "keys", "apply"]


def job(verb: str) -> Job:
    content = {"code": "1"} if verb == "execute" else {}
    asked = Request(
        client="me", result_id="r", operation=OPERATIONS[verb], targets=[7], content=content,
        label=verb, payloads=[], assign=[0], on_done=lambda _: None,
    )  # fmt: skip
    return asked.jobs()[0]


def message(msg_type: str, content: dict[str, Any]) -> KernelMessage:
    return KernelMessage([], msg_type, "s", "m", {}, [], json.dumps(content).encode())


@settings(max_examples=50)
@given(st.sampled_from(VERBS), contents | loose, st.lists(st.tuples(st.text(), loose), max_size=3))
def test_a_reply_of_our_own_kernel_ends_its_run_whatever_it_says(
    verb: str, content: dict[str, Any], published: list[tuple[str, dict[str, Any]]]
) -> None:
    run = NativeInFlight(job(verb), "m")
    for kind in (*OUTPUT_TYPES, *(name for name, _ in published)):
        for _, output in published:
            run.take_iopub(message(kind, output))
    run.take_reply(message(f"fleet_{verb}_reply", content))
    assert run.exiting in (True, False)
    assert run.aborted in (True, False)
    assert run.complete in (True, False)
    result = run.outcome().result
    json.dumps(result)
    assert isinstance(result["ok"], bool)
    assert result["ok"] or result["error"]["ename"] is not None
    assert hash(result.get("number")) is not None


@settings(max_examples=50)
@given(st.sampled_from(VERBS), loose, st.lists(loose, max_size=3))
def test_a_reply_of_any_other_kernel_ends_its_run_whatever_it_says(
    verb: str, content: dict[str, Any], published: list[dict[str, Any]]
) -> None:
    run = PortableInFlight(job(verb), "m")
    for kind in ("status", "execute_input", *OUTPUT_TYPES):
        for output in published:
            run.take_iopub(message(kind, output))
    run.take_iopub(message("status", {"execution_state": "idle"}))
    run.take_reply(message("execute_reply", content))
    assert run.complete
    assert run.exiting in (True, False)
    result = run.outcome().result
    json.dumps(result)
    assert isinstance(result["ok"], bool)
    assert isinstance(result.get("number"), int | None)


@given(json_values)
def test_data_of_a_kernel_that_is_not_ours_is_taken_only_in_its_form(answer: Any) -> None:
    for expression in (answer, {"data": answer}, {"data": {DATA_MIME: json.dumps(answer)}}):
        run = PortableInFlight(job("pull"), "m")
        run.idle = True
        content = {"status": "ok", "user_expressions": {"r": expression}}
        run.take_reply(message("execute_reply", content))
        outcome = run.outcome()
        json.dumps(outcome.result)
        assert outcome.result["ok"] is False
        assert outcome.buffers == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_iopub", -1),
        ("n_iopub", 1e400),
        ("n_iopub", 10**30),
        ("n_iopub", "3"),
        ("number", [1]),
        ("number", True),
        ("status", None),
        ("status", "fine"),
        ("traceback", "line"),
        ("keys", [1]),
        ("started", float("nan")),
        ("exiting", 1),
    ],
)
def test_a_broken_reply_is_an_error_that_names_the_engine_and_the_field(
    field: str, value: Any
) -> None:
    assert unsound_field(SOUND) is None
    assert unsound_field({**SOUND, field: value}) == field
    run = NativeInFlight(job("execute"), "m")
    run.take_reply(message("fleet_execute_reply", {**SOUND, "status": "ok", field: value}))
    assert run.complete
    result = run.outcome().result
    assert (result["ok"], result["error"]["kind"]) == (False, "engine")
    assert f"engine 7 sent a reply that cannot be used: its {field!r}" in result["error"]["evalue"]


def test_what_other_kernels_leave_out_is_filled_in() -> None:
    empty = {"ename": "", "evalue": "", "traceback": [], "kind": "user"}
    assert error_of({}) == empty
    assert error_of({"traceback": "text", "ename": None}) == empty
    assert error_of({"traceback": [1, "b"], "evalue": 5})["traceback"] == ["1", "b"]
    assert number_of({"execution_count": "3"}) is None
    assert number_of({"execution_count": 3}) == 3


def test_exit_is_asked_for_in_two_ways() -> None:
    assert asks_exit({"exiting": True})
    assert asks_exit({"payload": [{"source": "ask_exit"}]})
    assert not asks_exit({"payload": [{"source": "ask_exit", "keepkernel": True}]})
    assert not asks_exit({"payload": {"source": "ask_exit"}, "exiting": "yes"})
    assert not asks_exit(broken("x"))
