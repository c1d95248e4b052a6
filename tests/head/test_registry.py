"""registry.py: ids stay where they are; a lost node's engines are dead until they are elsewhere."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CompositeError, EngineDied, FleetError, StartError
from tests.fleets import eventually
from tests.gate import Gate
from tests.nodes import node_processes

Start = Callable[..., MultiEngineClient]


def nodes_of(mec: MultiEngineClient) -> dict[int, str | None]:
    return {engine.id: engine.node for engine in mec.engines()}


def test_the_lowest_ids_are_given_again_and_the_number_is_told(mec: MultiEngineClient) -> None:
    assert mec.scale(5) == [0, 1, 2, 3, 4]
    assert [each.value for each in mec.execute("n_engines")] == [5] * 5
    mec.kill(1)
    assert mec.get_ids() == [0, 2, 3, 4]
    assert mec.scale(5) == [0, 1, 2, 3, 4]
    assert mec.scale(4) == [0, 1, 2, 3]
    assert [each.value for each in mec.execute("n_engines")] == [4] * 4


@pytest.mark.parametrize("n", [4, 3, 5])
def test_an_engine_that_was_killed_a_moment_ago_does_not_count(
    mec: MultiEngineClient, n: int
) -> None:
    os.kill(mec.engines()[1].pid or 0, signal.SIGKILL)
    assert len(mec.scale(n)) == n
    assert [each.value for each in mec.execute("n_engines")] == [n] * n


def test_an_engine_that_is_scaled_away_finishes_its_work(
    mec: MultiEngineClient, gate: Gate
) -> None:
    mec.scale(5)
    last = mec.execute(f"{gate.code}; print('done')", targets=4, block=False)
    gate.entered()
    scaling = mec.scale(4, block=False)
    eventually(lambda: mec.get_ids() == [0, 1, 2, 3])
    assert not scaling.done()
    gate.open()
    assert scaling.result(20) == [0, 1, 2, 3]
    assert last.result()[0].stdout == "done\n"


def test_an_engine_that_died_keeps_its_id_and_is_restarted_on_its_node(
    mec: MultiEngineClient,
) -> None:
    before = nodes_of(mec)
    with pytest.raises(CompositeError) as died:
        mec.execute("import os; os.kill(os.getpid(), 9)", targets=2)
    assert type(died.value.exceptions[0]) is EngineDied
    assert "signal 9" in str(died.value.exceptions[0])
    assert mec.get_ids() == [0, 1, 3]
    mec.restart(2, timeout=30)
    assert nodes_of(mec) == before
    assert mec.execute("engine_id", targets=2)[0].value == 2


def test_a_lost_node_is_told_at_once_and_restart_brings_its_engines_up_elsewhere(
    start: Start,
) -> None:
    before = set(node_processes())
    mec = start(4)
    names = nodes_of(mec)
    victim, _ = sorted(set(node_processes()) - before, key=lambda each: each.pid)
    busy = mec.execute("import time; time.sleep(60)", block=False)
    eventually(lambda: all(status["pending"] for _, status in mec.queue_status()))
    began = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: len(mec.get_ids()) == 2)
    assert time.monotonic() - began < 2
    lost = sorted(set(names) - set(mec.get_ids()))
    states = {engine.id: (engine.state, engine.node) for engine in mec.engines()}
    assert [states[each] for each in lost] == [("dead", names[each]) for each in lost]
    mec.interrupt()
    with pytest.raises(CompositeError) as failed:
        busy.result(timeout=10)
    died = [each for each in failed.value.exceptions if isinstance(each, EngineDied)]
    assert len(died) == 2
    assert f"node {names[lost[0]]} is lost" in str(died[0])
    mec.restart("all", timeout=30)
    assert mec.get_ids() == [0, 1, 2, 3]
    assert [each.value for each in mec.execute("engine_id, n_engines")] == [
        (each, 4) for each in range(4)
    ]


def test_the_policy_brings_engines_of_a_lost_node_up_under_their_ids(start: Start) -> None:
    before = set(node_processes())
    mec = start(2, restart="on-death")
    victim = min(set(node_processes()) - before, key=lambda each: each.pid)
    mec.execute("mark = 1")
    victim.kill()
    eventually(lambda: mec.get_ids() != [0, 1])
    eventually(lambda: mec.get_ids() == [0, 1])
    assert sorted("mark" in names for names in mec.keys(block=True)) == [False, True]


def test_a_start_that_fails_on_one_node_leaves_nothing(start: Start) -> None:
    before = set(node_processes())
    with pytest.raises(StartError, match=r"node .*: .*on_start code failed: ZeroDivisionError"):
        start(2, on_start="1 / (engine_id - 1)")
    assert set(node_processes()) == before


def test_scaling_that_fails_leaves_the_engines_there_are(start: Start) -> None:
    mec = start(2, on_start="1 / (engine_id < 2)")
    with pytest.raises(FleetError, match="ZeroDivisionError"):
        mec.scale(4)
    assert mec.get_ids() == [0, 1]
    assert [each.value for each in mec.execute("n_engines")] == [2, 2]


def test_variables_of_the_environment_are_made_here_and_set_there(start: Start) -> None:
    mec = start(2, env=lambda engine_id: {"WHICH": str(engine_id), "HOME": None})
    code = "import os; os.environ['WHICH'], 'HOME' in os.environ"
    assert [each.value for each in mec.execute(code)] == [("0", False), ("1", False)]
