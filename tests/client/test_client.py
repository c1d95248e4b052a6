"""client.py: the verbs that manage the fleet and its results. Without a fleet."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kernelfleet
from kernelfleet import MultiEngineClient
from kernelfleet.errors import (
    CallTimeout,
    CompositeError,
    InvalidDeferredID,
    InvalidEngineID,
    NotAPendingResult,
    StartError,
)
from tests.client.scripted import ScriptedController, failing, never

Scripted = tuple[MultiEngineClient, ScriptedController]


def value(told: Any) -> Any:
    """An answer that is not by target."""
    return lambda *_: ({"value": told}, [])


def refused(ename: str) -> Any:
    return lambda *_: ({"refused": {"ename": ename, "evalue": "text"}}, [])


def test_only_restart_may_name_an_engine_that_is_dead(scripted: Scripted) -> None:
    mec, controller = scripted
    assert mec.restart() == [None] * 3
    assert mec.restart(2) == [None]
    for verb in (mec.kill, mec.interrupt, mec.clear_queue, mec.queue_status):
        with pytest.raises(InvalidEngineID, match=r"engine 2 died: .*mec.restart\(2\) brings"):
            verb(2)
    assert [each["targets"] for each in controller.asked] == [[0, 1, 2], [2]]


def test_what_waits_is_told_with_the_ids_under_which_it_is_found(scripted: Scripted) -> None:
    mec, controller = scripted
    told = [
        [0, {"queue": ["push('a')"], "pending": "execute('x')"}, {"queue": ["w"], "pending": None}],
        [1, {"queue": [], "pending": None}, {"queue": [], "pending": None}],
    ]
    results = [{"id": each[0], "ok": True, "buffers": 0, "value": each} for each in told]
    controller.answers["queue_status"] = lambda *_: ({"results": results}, [])
    status = mec.queue_status()
    assert status == [(each[0], each[1]) for each in told]
    (waiting,) = status[0][1]["queue"]
    running = status[0][1]["pending"]
    assert running is not None
    assert (waiting.result_id, running.result_id) == ("w", None)


def test_a_command_number_is_an_integer_and_none_is_the_latest(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["get_result"] = failing("IndexError")
    for number in (None, 3, np.int64(3)):
        with pytest.raises(CompositeError) as caught:
            mec.get_result(number)
        assert type(caught.value.exceptions[0]) is IndexError
    assert [each["number"] for each in controller.asked] == [None, 3, 3]
    for wrong in (1.0, "1", True):
        with pytest.raises(TypeError):
            mec.get_result(wrong)  # type: ignore[arg-type]
    assert len(controller.asked) == 3


def test_scale_gives_the_ids_there_are_then_and_says_why_an_engine_did_not_start(
    scripted: Scripted,
) -> None:
    mec, controller = scripted
    controller.answers["scale"] = value([0, 1, 3])
    assert mec.scale(3) == [0, 1, 3]
    assert controller.asked[0]["engines"] == 3
    controller.answers["scale"] = refused("StartError")
    with pytest.raises(StartError, match="text"):
        mec.scale(4)


def test_a_result_is_found_by_its_id_with_what_it_was_asked_for(scripted: Scripted) -> None:
    mec, controller = scripted
    describe = {"verb": "keys", "operation": "keys", "targets": [1], "decode": {"kind": "keys"}}
    controller.answers["progress"] = lambda *_: ({"describe": describe}, [])
    results = [{"id": 1, "ok": True, "buffers": 0, "keys": ["a"]}]
    controller.answers["attach"] = lambda *_: ({"results": results, "describe": describe}, [])
    pending = mec.pending_result("an id")
    assert (pending.method, pending.targets, pending.result_id) == ("keys", [1], "an id")
    assert pending.result() == [["a"]]
    assert controller.asked[-1]["of"] == "an id"


def test_a_result_that_nobody_knows_is_told_when_it_is_fetched(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["progress"] = value(None)
    controller.answers["attach"] = refused("InvalidDeferredID")
    pending = mec.pending_result("gone")
    with pytest.raises(InvalidDeferredID, match="text"):
        pending.result()
    with pytest.raises(TypeError, match="a result id is a str, not int"):
        mec.pending_result(3)  # type: ignore[arg-type]


def test_barrier_waits_for_what_it_is_given_and_takes_nothing_else(scripted: Scripted) -> None:
    mec, controller = scripted
    done = mec.push({"a": 1}, block=False)
    controller.answers["keys"] = never
    waiting = mec.keys(block=False)
    mec.barrier(done)
    mec.barrier(iter([done]))
    with pytest.raises(CallTimeout, match=r"keys has not ended after 0\.01 s") as caught:
        mec.barrier([done, waiting], timeout=0.01)
    assert caught.value.pending_result is waiting
    for wrong in (3, [done, 3]):
        with pytest.raises(NotAPendingResult, match="barrier waits for PendingResults, not 3"):
            mec.barrier(wrong)  # type: ignore[arg-type]


def test_what_was_flushed_cannot_be_fetched(scripted: Scripted) -> None:
    mec, _ = scripted
    pending = mec.push({"a": 1}, block=False)
    mec.flush()
    with pytest.raises(InvalidDeferredID):
        pending.result()
    mec.flush()


def test_questions_to_the_controller_are_answered_without_the_engines(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["ping"] = value({})
    assert mec.get_ids() == [0, 1]
    assert len(mec) == 2
    controller.answers["engines"] = value(
        [{"id": 0, "state": "idle", "news": "of a later version"}]
    )
    assert [(each.id, each.state, each.queue) for each in mec.engines()] == [(0, "idle", 0)]
    controller.answers["shutdown"] = value(None)
    mec.stop_fleet()
    assert controller.operations == ["ping", "ping", "engines", "shutdown"]


#: What a method that takes a timeout, a size or a count must be given beside.
WANTED: dict[str, Any] = {
    "function": abs, "functions": {"f": abs}, "code": "1", "key": "a", "keys": "a", "names": "a",
    "namespace": {"a": 1}, "properties": {"a": 1}, "seq": [1, 2], "n": 2,
}  # fmt: skip
#: What is none, by parameter. What only waits takes a negative timeout: it is a look.
NO_NUMBERS: dict[str, list[object]] = {
    "timeout": [-1, -0.5, float("nan"), "1", True],
    "last": [-1, float("nan"), "1"],
    "chunksize": [-1, 0, 1.5, "1", True],
    "retries": [-1, 1.5, "1", True],
    "n": [-1, 0, 1.5, "1", True],
}
LOOKS = ("barrier", "wait_for_engines")
METHODS = {
    name: inspect.signature(method).parameters
    for name, method in inspect.getmembers(MultiEngineClient, inspect.isfunction)
    if not name.startswith("_")
}
TAKEN = [
    (name, parameter)
    for name, parameters in METHODS.items()
    for parameter in NO_NUMBERS
    if parameter in parameters
]


@pytest.mark.parametrize(("method", "parameter"), TAKEN)
def test_what_is_no_duration_or_count_is_refused_at_once_and_nothing_is_sent(
    scripted: Scripted, tmp_path: Path, method: str, parameter: str
) -> None:
    mec, controller = scripted
    (tmp_path / "script.py").write_text("1")
    wanted = {**WANTED, "path": tmp_path / "script.py"}
    given = {
        each.name: wanted[each.name]
        for each in METHODS[method].values()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
        and each.name != "self"
    }  # fmt: skip
    items = [[1, 2]] if method in ("map", "imap", "imap_unordered") else []
    positional = [each for each in METHODS[method].values() if each.kind is each.POSITIONAL_ONLY]
    first = [wanted[each.name] for each in positional if each.name != "self"]
    for wrong in NO_NUMBERS[parameter]:
        if method in LOOKS and wrong in ((-0.5, -1) if parameter == "timeout" else (0,)):
            continue
        arguments = {**given, parameter: wrong}
        if items:
            first = [arguments.pop("function", abs)]
        with pytest.raises(
            (ValueError, TypeError), match=rf"\b{parameter}\b|number|integer|engine"
        ):
            getattr(mec, method)(*first, *items, **arguments)
    assert controller.operations == []


@pytest.mark.parametrize("wrong", [float("nan"), "1", True])
def test_what_is_no_duration_is_refused_by_what_waits(scripted: Scripted, wrong: Any) -> None:
    mec, _ = scripted
    pending = mec.execute("1", block=False)
    for wait in (
        pending.result,
        pending.exception,
        pending.wait,
        lambda timeout: pending.wait(timeout, progress=True),
        lambda timeout: pending.get_result(timeout=timeout),
        lambda timeout: kernelfleet.wait([pending], timeout),
        lambda timeout: kernelfleet.as_completed([pending], timeout),
    ):
        with pytest.raises((ValueError, TypeError), match="timeout is a number of seconds"):
            wait(wrong)
