"""worlds.py and world.py: the engines on many nodes are the ranks of one MPI world.

The launcher is one that needs no MPI, and runs all ranks here: one of the two nodes has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet import CompositeError, EngineDied, Fleet, MultiEngineClient
from kernelfleet.errors import StartError, UnsupportedOperation
from tests.fleets import eventually
from tests.nodes import node_processes, path_with
from tests.provisioners.mpi.launching import MPIEXEC, PLAIN

Start = Callable[..., MultiEngineClient]

TOLD = "import os; (os.environ['PMI_RANK'], engine_id, n_engines, os.environ.get('FROM_LAUNCHER'))"


@pytest.fixture(scope="module")
def world(ssh: Path) -> Iterator[MultiEngineClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with(ssh))
        with Fleet(3, cluster="ssh:one,two", mpiexec=MPIEXEC) as mec:
            yield mec


@pytest.fixture
def mec(world: MultiEngineClient) -> MultiEngineClient:
    if world.get_ids() != [0, 1, 2]:
        world.restart("all")
    return world


def deaths(mec: MultiEngineClient, code: str) -> list[str]:
    """What each engine's call says when engine 1 ends in this way while the others work."""
    others = mec.execute("import time; time.sleep(60)", targets=[0, 2], block=False)
    with pytest.raises(CompositeError) as own:
        mec.execute(code, targets=1, timeout=20)
    with pytest.raises(CompositeError) as raised:
        others.result(timeout=20)
    errors = [*own.value.exceptions, *raised.value.exceptions]
    assert all(isinstance(error, EngineDied) for error in errors)
    return [str(error) for error in errors]


def test_engine_ids_are_ranks_whichever_node_the_launcher_brings_them_to(
    mec: MultiEngineClient,
) -> None:
    assert mec.execute(TOLD).values() == [(str(rank), rank, 3, "1") for rank in range(3)]
    assert mec.map(abs, [-1, -2, -3]) == [1, 2, 3]
    assert mec.scale(3) == [0, 1, 2]


def test_the_death_of_one_rank_is_that_of_all_until_all_are_restarted(
    mec: MultiEngineClient,
) -> None:
    own, *others = deaths(mec, "import os; os._exit(3)")
    assert "engine 1 died: its process ended with exit code 3, and with it the MPI world" in own
    for text in others:
        assert "rank 1 took the MPI world along (its process ended with exit code 3)" in text
    assert mec.get_ids() == []
    assert mec.restart("all") == [None] * 3
    assert mec.execute(TOLD).values() == [(str(rank), rank, 3, "1") for rank in range(3)]


@pytest.mark.slow
def test_a_keeper_that_is_killed_is_the_end_of_the_world(mec: MultiEngineClient) -> None:
    own, *others = deaths(mec, "import os, signal, time; os.kill(os.getppid(), 9); time.sleep(60)")
    assert "the MPI world" in own
    assert all("the MPI world" in text for text in others)
    assert mec.get_ids() == []


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda mec: mec.restart(1), "no rank can join alone"),
        (lambda mec: mec.kill(1), "which ends as a whole"),
        (lambda mec: mec.scale(4), "whose size MPI has fixed"),
    ],
    ids=["restart", "kill", "scale"],
)
def test_what_would_change_a_part_of_the_world_is_refused(
    mec: MultiEngineClient, call: Callable[[MultiEngineClient], Any], why: str
) -> None:
    with pytest.raises(UnsupportedOperation, match=why):
        call(mec)
    assert mec.get_ids() == [0, 1, 2]


def test_work_that_a_restart_ends_says_so(mec: MultiEngineClient) -> None:
    pending = mec.execute("import time; time.sleep(60)", block=False)
    eventually(pending.running)
    both = [mec.restart("all", block=False), mec.restart("all", block=False)]
    assert [each.result(timeout=30) for each in both] == [[None] * 3] * 2
    with pytest.raises(CompositeError) as raised:
        pending.result(timeout=5)
    assert ["it was restarted" in str(error) for error in raised.value.exceptions] == [True] * 3
    assert mec.get_ids() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--fail -n {n}", "no hosts to be had"),
        pytest.param(
            "--all-zero -n {n}", "the launcher has started 1 ranks, not 2", marks=pytest.mark.slow
        ),
        pytest.param(
            "--no-rank -n {n}", "has set none of OMPI_COMM_WORLD_RANK", marks=pytest.mark.slow
        ),
    ],
)
def test_a_launcher_that_makes_no_world_is_quoted_and_nothing_is_left(
    start: Start, options: str, text: str
) -> None:
    before = set(node_processes())
    with pytest.raises(StartError, match=re.escape(text)):
        start(2, mpiexec=f"{PLAIN} {options}")
    eventually(lambda: set(node_processes()) <= before)


@pytest.mark.slow
def test_a_launcher_that_is_not_there_is_named(start: Start) -> None:
    with pytest.raises(StartError, match="/no/such/mpiexec"):
        start(2, mpiexec="/no/such/mpiexec -n {n}")


@pytest.mark.slow
def test_a_rank_that_does_not_come_up_ends_the_others(start: Start, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = f"import os\nif engine_id and os.path.exists({str(flag)!r}): raise OSError('no')"
    mec = start(2, mpiexec=MPIEXEC, on_start=code)
    flag.touch()
    with pytest.raises(StartError, match="on_start code failed: OSError: no"):
        mec.restart("all")
    assert mec.get_ids() == []
    flag.unlink()
    mec.restart("all")
    assert mec.get_ids() == [0, 1]


@pytest.mark.slow
def test_a_world_comes_back_as_a_whole_after_a_rank_or_a_node_has_died(start: Start) -> None:
    before = set(node_processes())
    mec = start(3, mpiexec=MPIEXEC, restart="on-death")
    deaths(mec, "import os; os._exit(3)")
    eventually(lambda: mec.get_ids() == [0, 1, 2], 30)
    mec.execute("import psutil\npids = [p.pid for p in psutil.Process().parents()]")
    # The keepers are the launcher's descendants; the node is found by its socket.
    holders = [each for each in set(node_processes()) - before if _has_ranks(each)]
    assert len(holders) == 1
    pending = mec.execute("import time; time.sleep(60)", block=False)
    eventually(pending.running)
    holders[0].kill()
    with pytest.raises(CompositeError) as raised:
        pending.result(timeout=20)
    assert all("its node" in str(error) for error in raised.value.exceptions)
    eventually(lambda: mec.get_ids() == [0, 1, 2], 30)
    assert mec.execute("engine_id").values() == [0, 1, 2]


def _has_ranks(process: Any) -> bool:
    """Whether a node listens for ranks."""
    return any("kernelfleet-mpi-" in each.laddr for each in process.net_connections("unix"))
