"""``mec.timeline()`` and ``pending.timeline()``, with engines that work."""

from __future__ import annotations

import pytest

from kernelfleet import CompositeError, MultiEngineClient, Timeline
from kernelfleet.controller.engines import spans as kept
from tests.fleets import eventually
from tests.gate import Gate


@pytest.fixture
def transport() -> str:
    return "unix"


def test_commands_of_all_clients_are_told_with_how_they_ended(mec: MultiEngineClient) -> None:
    mark = mec.execute("a = 1", targets=[0, 1], block=False)
    mark.wait(10)
    with pytest.raises(CompositeError):
        mec.execute("1 / 0", targets=2)
    mec.push({"b": 2}, targets=3)
    told = mec.timeline()[-4:]
    assert isinstance(told, Timeline)
    assert sorted((span.engine, span.operation, span.outcome, span.error) for span in told) == [
        (0, "execute", "ok", ""), (1, "execute", "ok", ""),
        (2, "execute", "error", "ZeroDivisionError"), (3, "push", "ok", ""),
    ]  # fmt: skip
    assert told[0].call == mark.result_id
    assert all(0 <= span.seconds < 60 and span.waited >= 0 for span in told)
    assert told.engines[:4] == [0, 1, 2, 3]


def test_a_busy_engine_is_told_of_at_once(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.execute(gate.code, targets=1, block=False)
    waiting = mec.execute("2", targets=1, block=False)
    eventually(lambda: pending.timeline() != [])
    (span,) = pending.timeline()
    assert (span.engine, span.outcome) == (1, "running")
    assert mec.timeline()[-1].call == pending.result_id
    assert waiting.timeline() == []
    gate.open()
    waiting.wait(10)
    (span,) = waiting.timeline()
    assert span.waited > 0
    assert [each.outcome for each in pending.timeline()] == ["ok"]


def test_all_batches_of_a_map_are_one_call(mec: MultiEngineClient) -> None:
    pending = mec.map(abs, range(40), chunksize=5, block=False)
    other = mec.map(abs, range(4), chunksize=1, block=False)
    assert pending.r == list(range(40))
    assert other.r == list(range(4))
    told = pending.timeline()
    assert len(told) == 8
    assert {span.what for span in told} == {"map(abs) x5"}
    assert len({span.call for span in told}) == 1
    assert len(other.timeline()) == 4
    assert {span.call for span in other.timeline()}.isdisjoint(span.call for span in told)


def test_tasks_of_an_executor_are_one_call(mec: MultiEngineClient) -> None:
    with mec.executor() as executor:
        assert list(executor.map(abs, [-1, -2, -3])) == [1, 2, 3]
    told = mec.timeline()[-3:]
    assert {span.operation for span in told} == {"task"}
    assert len({span.call for span in told}) == 1


def test_the_last_seconds_can_be_asked_for(mec: MultiEngineClient, gate: Gate) -> None:
    mec.execute("1", targets=0)
    pending = mec.execute(gate.code, targets=0, block=False)
    eventually(pending.running)
    assert [span.call for span in mec.timeline(last=0)] == [pending.result_id]
    assert len(mec.timeline(last=1e6)) >= 2
    gate.open()
    pending.wait(10)
    with pytest.raises(TypeError, match="last is a number of seconds"):
        mec.timeline(last="5")  # type: ignore[arg-type]


@pytest.mark.parametrize("transport", ["embedded"])
def test_a_long_history_comes_in_several_replies(
    mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept.Timeline.since, "__defaults__", (None, 3))
    for number in range(5):
        mec.execute(str(number), targets=[0, 1])
    told = mec.timeline()[-10:]
    assert [span.what for span in told[::2]] == [f"execute('{number}')" for number in range(5)]
