"""A request and its jobs: every target ends once, the last one ends the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.controller.requests import Request
from kernelfleet.wire.operations import OPERATIONS


def request(targets: list[int], done: list[Request], **fields: object) -> Request:
    defaults: dict[str, object] = {
        "client": "me", "result_id": "r", "operation": OPERATIONS["execute"], "content": {},
        "label": "label", "payloads": [], "assign": [0] * len(targets),
    }  # fmt: skip
    return Request(targets=targets, on_done=done.append, **{**defaults, **fields})  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.randoms())
def test_in_whatever_order_targets_end_results_are_in_target_order(
    targets: list[int], random: object
) -> None:
    done: list[Request] = []
    asked = request(targets, done)
    jobs = asked.jobs()
    shuffled = list(jobs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for job in shuffled:
        assert not done
        job.resolve({"ok": True, "value": job.index}, [b"%d" % job.index])
    assert done == [asked]
    results = [result for result in asked.results if result is not None]
    assert [(each["id"], each["value"]) for each in results] == list(
        zip(targets, range(len(targets)), strict=True)
    )
    assert asked.payload_frames == [b"%d" % index for index in range(len(targets))]


def test_a_target_ends_once_and_the_first_word_counts() -> None:
    done: list[Request] = []
    asked = request([0, 1], done)
    first, second = asked.jobs()
    first.fail("EngineDied", "gone", signal=9)
    first.resolve({"ok": True}, [b"late"])
    first.fail("QueueCleared", "later still")
    assert not done
    second.resolve({"ok": True}, [])
    assert done == [asked]
    assert asked.results[0] == {
        "id": 0, "ok": False, "outputs": 0, "buffers": 0,
        "error": {"ename": "EngineDied", "evalue": "gone", "kind": "engine", "signal": 9},
    }  # fmt: skip
    assert asked.payload_frames == []


def test_outputs_follow_the_data_of_their_target() -> None:
    asked = request([0, 1], [])
    first, second = asked.jobs()
    second.fail("EngineDied", "gone", [b"page"])
    first.resolve({"ok": True}, [b"data"], [b"page 1", b"page 2"])
    counts = [(each["buffers"], each["outputs"]) for each in asked.results if each is not None]
    assert counts == [(1, 2), (0, 1)]
    assert asked.payload_frames == [b"data", b"page 1", b"page 2", b"page"]


def test_an_engine_that_is_named_twice_has_two_jobs_with_turns() -> None:
    jobs = request([2, 5, 2, 2], []).jobs()
    assert [(job.engine_id, job.turn) for job in jobs] == [(2, 0), (5, 0), (2, 1), (2, 2)]


def test_each_target_gets_the_payload_it_was_assigned() -> None:
    payloads = [[b"a"], [b"b", b"c"]]
    jobs = request([0, 1, 2], [], payloads=payloads, assign=[1, 0, 1]).jobs()
    assert [job.payload for job in jobs] == [[b"b", b"c"], [b"a"], [b"b", b"c"]]
    assert request([0], []).jobs()[0].payload == []


def test_a_job_tells_the_queue_what_it_asks() -> None:
    (job,) = request([0], [], operation=OPERATIONS["push"], client="c", label="push(x)").jobs()
    assert (job.operation.name, job.client, job.label) == ("push", "c", "push(x)")


def test_whoever_attaches_is_told_of_outputs_once_however_often() -> None:
    heard: list[str] = []

    def listener(name: str) -> Callable[[int, str, Any], None]:
        return lambda engine, msg_type, _: heard.append(f"{name} {engine} {msg_type}")

    asked = request([0], [], on_output=listener("first"))
    for _ in range(2000):  # each a following that was broken off
        asked.listen("later", listener("again"))
    asked.listen("me", listener("mine"))
    assert asked.on_output is not None
    asked.on_output(0, "stream", b"{}")
    assert heard == ["first 0 stream", "again 0 stream", "mine 0 stream"]
    unheard = request([0], [])
    unheard.listen("later", listener("only"))
    assert unheard.on_output is not None
    unheard.on_output(1, "stream", b"{}")
    assert heard[3:] == ["only 1 stream"]


def test_what_ends_with_its_client_has_no_id_for_others() -> None:
    assert request([0], []).public_id == "r"
    assert request([0], [], operation=OPERATIONS["map"]).public_id is None
    assert request([0], [], operation=OPERATIONS["task"]).public_id is None
