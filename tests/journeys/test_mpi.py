"""Fleets whose engines are the ranks of one MPI world.

What a world is to its fleet is tried with a launcher that needs no MPI; MPI itself with Open MPI
and MPICH where they are installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelfleet import CallTimeout, CompositeError, EngineDied, Fleet, MultiEngineClient
from kernelfleet.errors import InterruptUnheeded
from kernelfleet.errors.tree import StartError, UnsupportedOperation
from kernelfleet.wire.platforms import number_of_cores
from tests.fleets import eventually
from tests.provisioners.mpi.launching import INSTALLED, MPIEXEC, PLAIN, environment

StartFleet = Callable[..., MultiEngineClient]

OURS = "import os; rank = int(os.environ.get('PMI_RANK') or os.environ['OMPI_COMM_WORLD_RANK'])"


def deaths(mec: MultiEngineClient, code: str, engine: int) -> list[str]:
    """What each engine's call says, when one of them ends in this way while the others work."""
    others = mec.execute(
        "import time; time.sleep(60)", targets=[i for i in range(2) if i != engine], block=False
    )
    with pytest.raises(CompositeError) as own:
        mec.execute(code, targets=engine, timeout=20)
    with pytest.raises(CompositeError) as raised:
        others.result(timeout=20)
    errors = [*own.value.exceptions, *raised.value.exceptions]
    assert all(isinstance(error, EngineDied) for error in errors)
    return [str(error) for error in errors]


@pytest.fixture(scope="module")
def world() -> Iterator[MultiEngineClient]:
    """Two ranks of a launcher without MPI."""
    with Fleet(2, mpiexec=MPIEXEC, on_start=OURS) as mec:
        yield mec


@pytest.fixture
def mec(world: MultiEngineClient) -> MultiEngineClient:
    """The same, alive."""
    if world.get_ids() != [0, 1]:
        world.restart("all")
    return world


def test_engines_are_the_ranks_and_do_what_any_engines_do(mec: MultiEngineClient) -> None:
    assert mec.pull("rank") == [0, 1]
    assert mec.pull("engine_id") == [0, 1]
    mec.scatter("x", list(range(5)))
    assert mec.gather("x") == list(range(5))
    assert mec.map(lambda x: x * x, range(4)) == [0, 1, 4, 9]
    assert mec.execute("print(n_engines)")[1].stdout == "2\n"
    assert mec.restart("all") == [None, None]
    assert mec.pull("rank") == [0, 1]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda mec: mec.restart(1), "no rank can join alone"),
        (lambda mec: mec.kill(1), "which ends as a whole"),
        (lambda mec: mec.kill(), "which ends as a whole"),
        (lambda mec: mec.scale(3), "whose size MPI has fixed at its start"),
    ],
    ids=["restart of one", "kill of one", "kill of all", "scale"],
)
def test_what_would_change_a_part_of_the_world_is_refused_with_the_reason(
    mec: MultiEngineClient, call: Callable[[MultiEngineClient], Any], why: str
) -> None:
    with pytest.raises(UnsupportedOperation, match=why):
        call(mec)
    assert mec.pull("rank") == [0, 1]
    assert mec.scale(2) == [0, 1]


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"killed by signal 9"),
        pytest.param("os._exit(3)", "ended with exit code 3", marks=pytest.mark.slow),
        pytest.param("import ctypes; ctypes.string_at(0)", "signal 11", marks=pytest.mark.slow),
        pytest.param("exit()", "ended with exit code 0", marks=pytest.mark.slow),
    ],
    ids=["SIGKILL", "_exit", "SIGSEGV", "exit"],
)
def test_the_death_of_one_rank_is_that_of_all_and_each_says_whose_it_was(
    mec: MultiEngineClient, code: str, how: str
) -> None:
    own, other = deaths(mec, code, 1)
    assert "engine 1 died" in own
    assert how in own.replace("its process ", "")
    assert "and with it the MPI world; mec.restart('all') brings a new world" in own
    assert "engine 0 died: rank 1 took the MPI world along" in other
    assert mec.get_ids() == []
    mec.restart("all")
    assert mec.pull("rank") == [0, 1]


def test_the_launchers_death_is_no_ranks_fault(mec: MultiEngineClient) -> None:
    pid = mec.execute("os.getpid()", targets=0)[0].value
    started = psutil.Process(pid).parent()
    assert started is not None
    launcher = started.parents()[1]
    launcher.kill()
    eventually(lambda: mec.get_ids() == [])
    deaths = list(mec._connection.roster.dead.values())
    assert all("the MPI launcher was killed by signal 9 (SIGKILL)" in text for text in deaths)


@pytest.mark.slow
def test_a_world_whose_rank_has_died_comes_back_as_a_whole(start_fleet: StartFleet) -> None:
    mec = start_fleet(2, mpiexec=MPIEXEC, on_start=OURS, restart="on-death")
    for engine in (1, 0):
        deaths(mec, "os._exit(3)", engine)
        eventually(lambda: mec.get_ids() == [0, 1], 30)
        assert mec.pull("rank") == [0, 1]


@pytest.mark.slow
def test_a_rank_that_does_not_come_up_ends_the_others(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = f"import os\nif engine_id and os.path.exists({str(flag)!r}): raise OSError('no')"
    with Fleet(2, mpiexec=MPIEXEC, on_start=code) as mec:
        flag.touch()
        with pytest.raises(StartError, match="on_start code failed: OSError: no"):
            mec.restart("all")
        assert mec.get_ids() == []
        flag.unlink()
        mec.restart("all")
        assert mec.get_ids() == [0, 1]


@pytest.mark.parametrize(
    ("mpiexec", "text"),
    [
        (f"{PLAIN} --fail -n {{n}}", "no hosts to be had"),
        ("/no/such/mpiexec -n {n}", "/no/such/mpiexec"),
    ],
)
def test_a_launcher_that_fails_is_quoted_and_nothing_is_left(mpiexec: str, text: str) -> None:
    before = {each.pid for each in psutil.Process().children(recursive=True)}
    with pytest.raises(StartError, match=text):
        Fleet(2, mpiexec=mpiexec).start()
    assert {each.pid for each in psutil.Process().children(recursive=True)} <= before


# -- with MPI itself -------------------------------------------------------------------------------

HELLO = "from mpi4py import MPI; comm = MPI.COMM_WORLD; rank = comm.rank"


@pytest.fixture(
    scope="module",
    params=INSTALLED or [pytest.param("", marks=pytest.mark.skip("no mpiexec.* and mpi4py"))],
)
def mpi(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What starts a fleet with one of the installed MPIs."""
    library = request.param
    return {
        "mpiexec": f"mpiexec.{library} -n {{n}}",
        "env": environment(library, tmp_path_factory.mktemp("mpi")),
    }


@pytest.fixture(scope="module")
def mpi_world(mpi: dict[str, Any]) -> Iterator[MultiEngineClient]:
    with Fleet(3, **mpi) as mec:
        yield mec


@pytest.fixture
def ranks(mpi_world: MultiEngineClient) -> MultiEngineClient:
    """Three ranks that have imported mpi4py."""
    if mpi_world.get_ids() != [0, 1, 2]:
        mpi_world.restart("all")
    mpi_world.execute(HELLO)
    return mpi_world


@pytest.mark.slow
def test_collectives_work_across_cells(ranks: MultiEngineClient) -> None:
    assert ranks.pull("rank") == [0, 1, 2]
    assert ranks.execute("comm.allreduce(rank)").values() == [3, 3, 3]
    ranks.execute("import numpy as np; part = np.full(4, rank); whole = np.empty((3, 4), int)")
    ranks.execute("comm.Allgather(part, whole)")
    assert ranks.pull("whole")[2].tolist() == [[0] * 4, [1] * 4, [2] * 4]
    ranks.execute("comm.send('hi', dest=1)", targets=0)
    assert ranks.execute("comm.recv(source=0)", targets=1)[0].value == "hi"
    assert ranks.execute("MPI.Query_thread() == MPI.THREAD_MULTIPLE").values() == [True] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
        ("import os; os._exit(3)", "ended with exit code 3"),
        ("comm.Abort(7)", r"MPI_Abort\(7\)|exit code 7"),
    ],
    ids=["SIGKILL", "_exit", "Abort"],
)
def test_the_right_rank_is_named(ranks: MultiEngineClient, code: str, how: str) -> None:
    waiting = ranks.execute("comm.Barrier()", targets=[0, 2], block=False)
    ranks.execute(code, targets=1, block=False)
    began = time.monotonic()
    with pytest.raises(CompositeError) as raised:
        waiting.result(timeout=20)
    assert time.monotonic() - began < 5
    for error in raised.value.exceptions:
        assert isinstance(error, EngineDied)
        assert "rank 1 took the MPI world along" in str(error)
        assert re.search(how, str(error))
    eventually(lambda: ranks.get_ids() == [])


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["holds the lock", "lets others run"])
def test_an_interrupt_says_which_ranks_wait_and_a_restart_ends_it(
    ranks: MultiEngineClient, first: bool
) -> None:
    # The first collective with small letters of a communicator makes another one, with the lock.
    code = "comm.allreduce(1)" if first else "comm.Barrier()"
    if first:
        ranks.restart("all")
        ranks.execute(HELLO)
    waiting = ranks.execute(code, targets=[0, 2], block=False)
    with pytest.raises(CallTimeout):
        waiting.result(timeout=0.5)
    began = time.monotonic()
    with pytest.warns(InterruptUnheeded) as warned:
        assert ranks.interrupt() == [None] * 3
    assert time.monotonic() - began < 3
    said = str(warned[0].message)
    place = "a call that holds Python's lock" if first else "comm.Barrier() in line 1"
    assert f"not stopped yet: 0,2 in {place}. A call of MPI that waits" in said
    assert "a new world with mec.restart('all')" in said
    ranks.restart("all")
    with pytest.raises(CompositeError):
        waiting.result(timeout=5)
    ranks.execute(HELLO)
    assert ranks.execute("comm.allreduce(1)").values() == [3, 3, 3]


@pytest.mark.slow
def test_after_a_stop_nothing_of_mpi_is_left(mpi: dict[str, Any]) -> None:
    def left() -> set[str]:
        session = [path.name for path in Path("/tmp").glob("ompi.*")]
        return {path.name for path in Path("/dev/shm").iterdir()} | set(session)

    before, children = left(), set(psutil.Process().children(recursive=True))
    with Fleet(2, **mpi) as mec:
        mec.execute(HELLO + "; comm.Barrier()")
        mec.restart("all")
        mec.execute(HELLO + "; comm.Barrier()")
    assert left() <= before
    assert set(psutil.Process().children(recursive=True)) <= children


@pytest.mark.slow
@pytest.mark.skipif(len(INSTALLED) < 2, reason="needs Open MPI and MPICH")
def test_an_mpi4py_of_another_mpi_is_an_error(tmp_path: Path) -> None:
    with (
        Fleet(2, mpiexec="mpiexec.mpich -n {n}", env=environment("openmpi", tmp_path)) as mec,
        pytest.raises(CompositeError) as raised,
    ):
        mec.execute("import warnings; warnings.simplefilter('ignore')\n" + HELLO)
    for rank, error in enumerate(raised.value.exceptions):
        assert isinstance(error, ImportError)
        assert f"rank 0 of 1 where the launcher has started rank {rank} of 2" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("inner", ["plain", "world"])
def test_a_fleet_inside_a_rank_is_a_world_of_its_own(
    mpi: dict[str, Any], inner: str, tmp_path: Path
) -> None:
    options = "" if inner == "plain" else f", mpiexec={mpi['mpiexec']!r}"
    script = tmp_path / "outer.py"
    script.write_text(
        "from kernelfleet import Fleet\n"
        f"with Fleet(2{options}) as mec:\n"
        f"    mec.execute({HELLO!r})\n"
        "    print(mec.execute('rank, comm.size').values())\n"
    )
    outer = [*mpi["mpiexec"].format(n=1).split(), sys.executable, str(script)]
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    env = {**os.environ, **mpi["env"], **as_root, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(outer, env=env, capture_output=True, text=True, timeout=90, check=False)
    expected = "[(0, 1), (0, 1)]" if inner == "plain" else "[(0, 2), (1, 2)]"
    assert expected in done.stdout, done.stderr


@pytest.mark.slow
def test_settings_of_the_library_reach_the_ranks(start_fleet: StartFleet) -> None:
    n = number_of_cores() + 1
    name = "MPIR_CVAR_POLLS_BEFORE_YIELD"
    mec = start_fleet(n, mpiexec=MPIEXEC)
    assert mec.execute(f"import os; os.environ[{name!r}]").values() == ["1"] * n
