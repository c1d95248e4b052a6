"""operations.py of the head: what nodes answer for their engines, put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client import access
from kernelfleet.controller import operations as controllers
from kernelfleet.errors import CompositeError, InvalidEngineID
from kernelfleet.head import operations
from tests.fleets import eventually
from tests.gate import Gate


def test_a_head_answers_all_that_a_controller_answers() -> None:
    assert set(operations.CALLS) == set(controllers.CALLS)


def test_engines_are_listed_with_their_nodes(mec: MultiEngineClient) -> None:
    engines = mec.engines()
    assert [engine.id for engine in engines] == [0, 1, 2, 3]
    assert engines[0].node == engines[2].node != engines[1].node == engines[3].node
    assert "node" in repr(engines).splitlines()[0].split()


def test_properties_are_those_of_each_engine(mec: MultiEngineClient) -> None:
    mec.set_properties({"colour": "red"}, targets=[1, 2])
    assert mec.has_properties(["colour"], targets=[0, 1, 2]) == [[False], [True], [True]]
    with pytest.raises(CompositeError):
        mec.del_properties(["colour"])
    mec.clear_properties()
    assert mec.get_properties() == [{}] * 4


def test_the_history_of_each_engine_is_asked_in_the_order_of_targets(
    mec: MultiEngineClient,
) -> None:
    mec.execute("engine_id")
    assert [each.value for each in mec.get_result(targets=[3, 0])] == [3, 0]


def test_busy_engines_of_all_nodes_show_variables_and_are_interrupted(
    mec: MultiEngineClient, tmp_path: Path
) -> None:
    mec.push({"a": 1})
    pending = mec.execute("import time\nfor i in range(10**6): time.sleep(0.01)", block=False)
    eventually(lambda: all(status["pending"] for _, status in mec.queue_status()))
    assert mec.peek("a") == [1] * 4
    waiting = mec.execute("b = 1", block=False)
    assert [len(status["queue"]) for _, status in mec.queue_status()] == [1] * 4
    mec.clear_queue()
    mec.interrupt()
    with pytest.raises(CompositeError) as failed:
        pending.result(timeout=10)
    assert [getattr(each, "ename", "") for each in failed.value.exceptions] == [
        "KeyboardInterrupt"
    ] * 4
    with pytest.raises(CompositeError):
        waiting.result(timeout=10)


def test_a_call_is_cancelled_on_all_nodes(mec: MultiEngineClient, gate: Gate) -> None:
    first = mec.execute(gate.code, block=False)
    second = mec.execute("late = 1", block=False)
    assert second.cancel()
    gate.open()
    first.result(timeout=10)
    assert not any("late" in names for names in mec.keys(block=True))


def test_a_number_that_is_none_of_engines_is_refused(mec: MultiEngineClient) -> None:
    with pytest.raises(ValueError, match="1 to 4096 engines, not 5000"):
        mec.scale(5000)


def test_the_log_of_an_engine_is_read_on_its_node(mec: MultiEngineClient) -> None:
    mec.execute("import os; os.write(2, b'written to the log\\n')", targets=1)
    log = access.engine_log(mec, 1, 5, 10)
    assert log.splitlines()[-1] == "written to the log"
    assert len(access.engine_log(mec, 1, 1, 10).splitlines()) == 1
    assert access.ask_log(mec, 1, 5).result(timeout=10) == log
    with pytest.raises(InvalidEngineID):
        access.engine_log(mec, 9, 5, 10)
