"""What is beyond a limit of the fleet is refused at once, by name, and costs nobody else more."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kernelfleet import CompositeError, FleetError, MessageTooLarge, QueueFull
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet
from tests.journeys.raw import RawClient

MB = 1024 * 1024
StartOwn = Callable[..., OwnFleet]


def test_beyond_the_length_of_a_queue_requests_are_refused_and_nothing_else_is_lost(
    own_fleet: StartOwn, gate: Gate, transport: str
) -> None:
    del transport
    own = own_fleet(2, limits={"queue_length": 50})
    mec, other = own.client(), own.client()
    running = mec.execute(gate.code, targets=0, block=False)
    gate.entered()
    waiting = [mec.execute(str(i), targets=0, block=False) for i in range(49)]
    others = other.execute("'other'", targets=0, block=False)
    for asks in (mec, other):
        with pytest.raises(QueueFull, match=r"50 requests wait for engine 0.*queue_length.* is 50"):
            asks.execute("1", targets=0, timeout=20)
        with pytest.raises(QueueFull):  # for all engines or for none
            asks.execute("never = 1", timeout=20)
    assert mec.execute("1", targets=1, timeout=20).values() == [1]
    gate.open()
    running.result(20)
    assert [each.result(20)[0].value for each in waiting] == list(range(49))
    assert others.result(20)[0].value == "other"
    assert mec.execute("'never' in globals()", timeout=20).values() == [False, False]


@pytest.mark.slow
def test_requests_without_end_are_taken_as_far_as_the_queue_goes(
    own_fleet: StartOwn, gate: Gate
) -> None:
    own = own_fleet(2, limits={"queue_length": 1000})
    mec = own.client()
    with RawClient(own.name) as raw:
        mec.execute(gate.code, targets=0, block=False)
        gate.entered()
        asked = {"operation": "execute", "targets": [0], "content": {"code": "1"}}
        for _ in range(3000):
            raw.ask(asked)
        eventually(lambda: len(mec.queue_status(targets=0)[0][1]["queue"]) == 1000)
        began = time.monotonic()
        assert mec.execute("1", targets=1, timeout=20).values() == [1]
        assert time.monotonic() - began < 5.0
        gate.open()
        replies = raw.read_replies(3000)
    full = [n for n, (header, _) in replies.items() if "refused" in header]
    assert sorted(full) == list(range(1001, 3001))
    assert all(replies[n][0]["results"][0]["ok"] for n in range(1, 1001))


def test_a_call_larger_than_the_fleet_takes_is_refused_before_it_is_sent(
    own_fleet: StartOwn, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del transport
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")
    mec = own_fleet(2, limits={"message_bytes": 2 * MB}).client()
    mec.push({"fits": bytes(MB)}, timeout=20)
    with pytest.raises(MessageTooLarge, match=r"sends 31\d+ bytes.* takes 2097152.*message_bytes"):
        mec.push({"x": bytes(3 * MB)}, timeout=20)
    with pytest.raises(ValueError, match="message_bytes"):
        mec.scatter("x", [bytes(MB)] * 4, timeout=20)
    with pytest.raises(CompositeError) as caught:  # an item's own fault
        mec.map(len, [b"1", bytes(3 * MB), b"333"], timeout=20)
    (error,) = caught.value.exceptions
    assert isinstance(error, MessageTooLarge)
    with pytest.raises(MessageTooLarge, match="characters"):
        mec.execute("#" * (9 * MB), timeout=20)
    assert mec.execute("len(fits)", timeout=20).values() == [MB, MB]


@pytest.mark.slow
def test_memory_that_is_shared_does_not_count_as_a_message(own_fleet: StartOwn) -> None:
    mec = own_fleet(2, limits={"message_bytes": 2 * MB}).client()
    if not mec._connection.shares_memory:
        pytest.skip("no shared memory here")
    mec.push({"x": bytearray(20 * MB)}, timeout=20)
    assert mec.execute("len(x)", timeout=20).values() == [20 * MB] * 2


@pytest.mark.slow
def test_a_message_that_is_too_large_all_the_same_is_refused_by_the_controller(
    own_fleet: StartOwn,
) -> None:
    own = own_fleet(1, limits={"message_bytes": 2 * MB})
    with RawClient(own.name) as raw:
        push = {"operation": "push", "targets": [0], "payloads": [3]}
        n = raw.ask(push, [bytes(MB)] * 3)
        refused = raw.read_replies(1)[n][0]["refused"]
        assert (
            "a message of 3145728 bytes; Limits.message_bytes of this fleet is" in refused["evalue"]
        )
    assert own.client().execute("1", timeout=20).values() == [1]


def test_what_is_kept_of_finished_work_is_limited(own_fleet: StartOwn) -> None:
    limits = {"command_count": 3, "result_count": 2}
    mec = own_fleet(1, limits=limits).client()
    ids = []
    for i in range(5):
        pending = mec.execute(str(i), block=False)
        pending.result(20)
        ids.append(pending.result_id)
        del pending
    assert mec.get_result(5)[0].value == 4
    with pytest.raises(CompositeError) as caught:
        mec.get_result(2)
    assert "dropped from the history" in str(caught.value.exceptions[0])
    with pytest.raises(FleetError, match="flushed, dropped"):
        mec.pending_result(ids[0]).result(20)
    assert mec.pending_result(ids[4]).result(20)[0].value == 4
