"""world.py: a launcher is run, its ranks report, and all of it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelfleet.provisioners.mpi import launcher
from kernelfleet.provisioners.mpi import ranks as of_ranks
from kernelfleet.provisioners.mpi.ranks import RankProcess, WorldError
from kernelfleet.provisioners.mpi.verdict import Verdict
from kernelfleet.provisioners.mpi.world import World
from tests.fleets import until
from tests.provisioners.mpi.worlds import ranks

Run = Callable[[Coroutine[Any, Any, None]], None]


def no_words() -> str:
    return ""


def test_each_rank_becomes_what_it_is_told_to_with_its_own_environment(
    folder: Path, run: Run
) -> None:
    async def trial() -> None:
        async with ranks(folder) as each:
            one, other = await asyncio.gather(
                each.launch(0, {"MINE": "0"}), each.launch(1, {"MINE": "1", "OTHER": "1"})
            )
            await until(lambda: all((folder / f"said-{rank}").exists() for rank in (0, 1)))
            said = [(folder / f"said-{rank}").read_text() for rank in (0, 1)]
            assert all("'FROM_LAUNCHER'" in text and "'PMI_RANK'" in text for text in said)
            assert ["'OTHER'" in text for text in said] == [False, True]
            assert all("'OF_ALL'" not in text for text in said)
            assert all(f"{folder} ['argument']" in text for text in said)
            assert (one.poll(), other.poll()) == (None, None)
            assert all(os.getpgid(process.pid) == process.pid for process in (one, other))
            await until(lambda: (folder / "log-0").read_text() == "hello\n")

    run(trial())


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGSEGV)", -11), ("os._exit(0)", 0)],
)
def test_the_end_of_a_rank_is_known_with_its_exit_code_and_the_others_live_on(
    folder: Path, run: Run, code: str, exit_code: int
) -> None:
    async def trial() -> None:
        async with ranks(folder) as each:
            one, other = await each.all()
            each.do(1, code)
            await until(lambda: other.has_ended)
            await each.world.how_it_ended(1)
            assert other.poll() == exit_code
            assert other.exit_code_known
            assert one.poll() is None
            each.world.end_all()
            assert await each.world.verdict(no_words) == Verdict(1, code=exit_code)
            await until(lambda: one.has_ended)

    run(trial())


def test_the_exit_code_is_waited_for_where_who_knows_it_does_not_get_to_run(
    folder: Path, run: Run
) -> None:
    async def trial() -> None:
        async with ranks(folder) as each:
            _, other = await each.all()
            parent = psutil.Process(psutil.Process(other.pid).ppid())
            parent.suspend()
            try:
                each.do(1, "sys.exit(3)")
                await until(lambda: other.has_ended)
                asyncio.get_running_loop().call_later(2 * of_ranks.WORD_SECONDS, parent.resume)
                await each.world.how_it_ended(1)
            finally:
                parent.resume()
            assert (other.poll(), other.exit_code_known) == (3, True)

    run(trial())


def test_a_kernel_that_was_just_forked_and_has_no_group_yet_is_ended_too(
    folder: Path, run: Run
) -> None:
    async def trial(pid: int) -> None:
        world = World(1, None, folder, folder / "log")
        world._future(world._kernels, 0).set_result(kernel := RankProcess(pid))
        world.end_all()
        await until(lambda: kernel.has_ended)
        kernel.settle(-9)

    with subprocess.Popen(["sleep", "60"]) as forked:
        try:
            run(trial(forked.pid))
        finally:
            forked.kill()


def test_whoever_dies_with_the_process_that_the_launcher_has_started_is_not_accused(
    folder: Path, run: Run
) -> None:
    """As when MPICH's launcher ends all ranks after an MPI_Abort: who aborted ends by himself."""

    async def trial() -> None:
        async with ranks(folder) as each:
            one, other = await each.all()
            assert each.world.process is not None
            each.do(1, "time.sleep(0.01); os._exit(7)")
            for child in psutil.Process(each.world.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):  # the launcher was quicker
                    child.kill()
            await until(lambda: one.has_ended and other.has_ended)
            assert await each.world.verdict(no_words) == Verdict(1, code=7)

    run(trial())


def test_the_launchers_death_is_that_of_all_and_no_ranks_fault(folder: Path, run: Run) -> None:
    async def trial() -> None:
        async with ranks(folder) as each:
            processes = await each.all()
            assert each.world.process is not None
            assert each.launchers == [each.world.process.pid]
            each.world.process.kill()
            await until(lambda: all(process.has_ended for process in processes))
            text = "the MPI launcher was killed by signal 9 (SIGKILL)"
            assert await each.world.verdict(no_words) == Verdict(None, text)

    run(trial())


def test_what_a_kernel_has_written_of_its_abort_is_read(folder: Path, run: Run) -> None:
    async def trial() -> None:
        async with ranks(folder) as each:
            await each.all()
            each.world.end_all()
            said = "Abort(3) on node 0 (rank 0 in comm 0): application called MPI_Abort"
            verdict = await each.world.verdict(lambda: said)
            assert verdict == Verdict(0, "it called MPI_Abort(3)")

    run(trial())


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--fail", "launcher ended with exit code 3 while starting; it has written:\nno hosts"),
        ("--no-rank", "the launcher has set none of OMPI_COMM_WORLD_RANK, "),
        ("--all-zero", "the launcher has started 1 ranks, not 2"),
        ("--twice", "the launcher has started rank 0 more than once"),
    ],
)
def test_a_launcher_that_makes_no_world_is_an_error_at_once(
    folder: Path, run: Run, option: str, text: str
) -> None:
    async def trial() -> None:
        async with ranks(folder, 2, option) as each:
            with pytest.raises(WorldError) as raised:
                await each.all()
            assert text in str(raised.value)

    run(trial())


def test_a_rank_that_never_comes_is_waited_for_within_bounds(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trial() -> None:
        async with ranks(folder, 2, "--one-less") as each:
            await each.launch(0)
            monkeypatch.setattr(of_ranks, "START_SECONDS", 0.1)
            with pytest.raises(WorldError, match=r"has started 1 of 2 ranks within 0\.1 s"):
                await each.launch(1)

    run(trial())


def test_a_launcher_that_does_not_end_is_ended(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_ranks, "START_SECONDS", 0.3)
    monkeypatch.setattr(launcher, "END_SECONDS", 0.1)

    async def trial() -> None:
        async with ranks(folder, 1, "--hang") as each:
            with pytest.raises(WorldError, match="has started 0 of 1 ranks"):
                await each.all()
            assert each.world.process is not None
            pid = each.world.process.pid
            await each.world.close()
            assert not psutil.pid_exists(pid)

    run(trial())


def test_a_world_that_never_began_is_closed_as_well(folder: Path, run: Run) -> None:
    async def trial() -> None:
        world = World(1, None, folder, folder / "log")
        await world.close()
        assert (await world.verdict(no_words)).rank is None

    run(trial())


def test_a_rank_whose_end_nobody_tells_has_an_unknown_exit_code() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = RankProcess(child.pid)
    assert process.poll() is None
    process.send_signal(0)
    process.terminate()
    began = time.monotonic()
    assert process.wait() == 255
    assert time.monotonic() - began < 30
    assert not process.exit_code_known
    process.kill()  # nothing happens to a process that has ended
    child.communicate()
    assert child.returncode == -signal.SIGTERM
