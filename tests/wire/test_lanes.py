"""What may pass what: nothing that could be noticed."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.wire.lanes import Topics, may_pass, topics
from kernelfleet.wire.operations import OPERATIONS

PUSH = {"type": "request", "operation": "push", "targets": [0, 2]}


def asked(verb: str, targets: Any = None) -> dict[str, Any]:
    return {"type": "request", "operation": verb, "targets": targets}


@pytest.mark.parametrize(
    ("header", "passes"),
    [
        (asked("execute", [1, 3]), True),
        (asked("execute", [1, 2]), False),
        (asked("interrupt", [1]), True),
        (asked("interrupt", [0]), False),  # it may mean what is on its way
        (asked("queue_status"), True),
        (asked("input_reply"), True),
        (asked("cancel"), False),
        (asked("restart", [1]), False),
        (asked("execute", "all"), False),
        (asked("fly", [1]), False),
        ({"type": "request", "operation": ["execute"], "targets": [1]}, False),
        (asked("execute", [[1]]), False),
        ({"type": "request", "operation": "execute"}, False),
        ({"type": "void"}, False),
    ],
)
def test_what_may_pass_a_push_on_its_way_to_the_controller(
    header: dict[str, Any], passes: bool
) -> None:
    assert may_pass(topics(header), [topics(PUSH)]) is passes


@pytest.mark.parametrize(
    ("header", "passes"),
    [
        ({"type": "reply", "to": 8}, True),
        ({"type": "reply", "to": 7}, False),
        ({"type": "event", "event": "output", "to": 8}, True),
        ({"type": "event", "event": "output", "to": 7}, False),
        ({"type": "event", "event": "stopped"}, False),
        ({"type": "welcome"}, False),
        ({"type": "reply", "to": None}, False),
    ],
)
def test_what_may_pass_a_reply_on_its_way_to_a_client(header: dict[str, Any], passes: bool) -> None:
    assert may_pass(topics(header), [topics({"type": "reply", "to": 7})]) is passes


@pytest.mark.parametrize(
    ("about", "waiting", "passes"),
    [
        (frozenset({1}), [frozenset({0}), None], False),  # nothing passes what is about all
        (frozenset(), [frozenset({0}), frozenset({1})], True),
        (frozenset(), [None], False),
        (None, [frozenset({0})], False),
        (frozenset({1}), [frozenset({0}), frozenset({1})], False),
    ],
)
def test_it_must_have_nothing_to_do_with_any_that_waits(
    about: Topics, waiting: list[Topics], passes: bool
) -> None:
    assert may_pass(about, waiting) is passes


def test_what_changes_the_fleet_passes_nothing_and_work_passes_work_for_others() -> None:
    passes = {operation.name: operation.passes for operation in OPERATIONS.values()}
    queued = {operation.name for operation in OPERATIONS.values() if operation.queued}
    assert {name for name in passes if passes[name] == "engines"} == {
        *(queued | {"interrupt"}),
        "cancel",  # of a request whose engines it names
    }
    assert {passes[name] for name in ("restart", "kill", "scale", "shutdown")} == {"none"}


def test_a_cancel_passes_only_what_it_is_known_to_have_nothing_to_do_with() -> None:
    cancel = {"type": "request", "operation": "cancel", "result_id": "r"}
    assert topics(cancel) is None
    assert topics({**cancel, "targets": [1, 2]}) == frozenset((1, 2))
