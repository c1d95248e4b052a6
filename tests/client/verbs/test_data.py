"""data.py: what the verbs that move data send, and what they refuse. Without a fleet."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CompositeError, SerializationError
from tests.client.scripted import ScriptedController, failing, payloads, per_target

Scripted = tuple[MultiEngineClient, ScriptedController]


def test_a_push_holds_its_data_once_for_all_engines(scripted: Scripted) -> None:
    mec, controller = scripted
    assert mec.push({"a": 1, "b.c": [2]}) == [None, None]
    header, buffers = controller.asked[0], controller.sent[0]
    assert header["payloads"] == [len(buffers)]
    assert "assign" not in header
    assert header["label"] == "push('a', 'b.c')"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda mec: mec.push([("a", 1)]), TypeError, "push takes a dict"),
        (lambda mec: mec.push({"1a": 1}), ValueError, "1a"),
        (lambda mec: mec.push({3: 1}), TypeError, "3"),
        (lambda mec: mec.push_function({"f": 3}), TypeError, "'f' is not callable"),
        (lambda mec: mec.push_function([len]), TypeError, "push_function takes a dict"),
        (lambda mec: mec.pull({"a"}), TypeError, "a name or a tuple of names"),
        (lambda mec: mec.apply(3), TypeError, "apply calls a function, not int"),
        (lambda mec: mec.apply(len, return_exceptions=1), ValueError, "return_exceptions must be"),
        (lambda mec: mec.scatter("a", {1, 2}), TypeError, "cannot scatter a set"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    scripted: Scripted, call: Any, error: type[Exception], text: str
) -> None:
    mec, controller = scripted
    with pytest.raises(error, match=text):
        call(mec)
    assert controller.asked == []


def test_what_cannot_be_pickled_is_named_and_nothing_is_sent(scripted: Scripted) -> None:
    mec, controller = scripted
    with pytest.raises(SerializationError, match="lock") as caught:
        mec.push({"good": 1, "lock": threading.Lock()})
    assert caught.value.name == "lock"
    with pytest.raises(SerializationError, match="'parts'"):
        mec.scatter("parts", [1, threading.Lock()])
    assert controller.asked == []


@pytest.mark.parametrize(
    ("verb", "names", "value"),
    [
        ("pull", "a", [1, 2]),
        ("pull", ("a", "b"), [[1, 10], [2, 20]]),
        ("zip_pull", ("a", "b"), [(1, 2), (10, 20)]),
    ],
)
def test_pulled_values_have_the_form_of_the_verb(
    scripted: Scripted, verb: str, names: Any, value: Any
) -> None:
    mec, controller = scripted
    variables = [{"a": 1, "b": 10}, {"a": 2, "b": 20}]
    controller.answers["pull"] = lambda header, _: per_target(
        header, [[each[name] for name in header["content"]["names"]] for each in variables]
    )
    assert getattr(mec, verb)(names) == value


def test_scatter_sends_each_engine_its_part_and_gather_joins_them(scripted: Scripted) -> None:
    mec, controller = scripted
    mec.scatter("x", np.arange(5), targets=[1, 0])
    header = controller.asked[0]
    assert header["targets"] == [1, 0]
    assert header["assign"] == [0, 1]
    parts = [each["x"] for each in payloads(header, controller.sent[0])]
    assert [part.tolist() for part in parts] == [[0, 1, 2], [3, 4]]
    controller.answers["pull"] = lambda header, _: per_target(header, [[part] for part in parts])
    assert mec.gather("x", targets=[1, 0]).tolist() == [0, 1, 2, 3, 4]


def test_a_scatter_to_nobody_is_no_error_and_carries_no_data(scripted: Scripted) -> None:
    mec, controller = scripted
    assert mec.scatter("x", [1, 2], targets=[]) == []
    assert controller.sent == [[]]


def test_apply_sends_function_and_arguments_and_gives_each_engines_value(
    scripted: Scripted,
) -> None:
    mec, controller = scripted
    controller.answers["apply"] = lambda header, _: per_target(header, ["of 0", "of 1"])
    assert mec.apply(max, [1, 2], default=0) == ["of 0", "of 1"]
    ((function, args, kwargs),) = payloads(controller.asked[0], controller.sent[0])
    assert (function, args, kwargs) == (max, ([1, 2],), {"default": 0})
    assert controller.asked[0]["label"] == "apply(max)"


def test_apply_gives_errors_as_values_if_it_is_told_to(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["apply"] = failing("ZeroDivisionError")
    errors = mec.apply(len, return_exceptions=True)
    assert [type(each).__name__ for each in errors] == ["ZeroDivisionError"] * 2
    with pytest.raises(CompositeError):
        mec.apply(len)


def test_items_are_pushed_and_pulled_and_always_waited_for(scripted: Scripted) -> None:
    mec, controller = scripted
    mec.block = False
    controller.answers["pull"] = lambda header, _: per_target(header, [[5], [6]])
    mec["x"] = 5
    assert mec["x"] == [5, 6]
    controller.answers["push"] = failing("TypeError")
    with pytest.raises(CompositeError):
        mec["x"] = 7
    assert controller.operations == ["push", "pull", "push"]


def test_an_array_that_changes_after_a_call_that_does_not_wait_is_sent_as_it_was(
    scripted: Scripted,
) -> None:
    mec, controller = scripted
    array = np.zeros(100_000)
    mec.push({"x": array}, block=False).result()
    array[:] = 1
    (sent,) = payloads(controller.asked[0], controller.sent[0])
    assert dict(sent)["x"].sum() == 0
