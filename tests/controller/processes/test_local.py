"""Processes: their end is seen, with a descriptor or by looking; what is told to end ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from kernelfleet.controller.processes import local, table
from kernelfleet.wire.platforms import HERE, POLL_SECONDS
from tests.fleets import eventually


@dataclass
class Child:
    pid: int | None
    pidfd: int = -1


Start = Callable[..., subprocess.Popen[bytes]]

WAIT = "import sys; print(flush=True); sys.stdin.read()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT
PARENT = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {WAIT!r}])\n" + WAIT


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str = WAIT) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(params=["pidfd", "polled"])
def child_of(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Child]]:
    children: list[Child] = []

    def child_of(pid: int) -> Child:
        children.append(Child(pid, local.open_pidfd(pid) if request.param == "pidfd" else -1))
        return children[-1]

    yield child_of
    for child in children:
        if child.pidfd >= 0:
            os.close(child.pidfd)


@pytest.fixture
def without_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "HERE", replace(HERE, process_groups=False))


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()


async def poll_nothing() -> int | None:
    raise AssertionError("there is a process to look at")


def test_waiting_ends_when_all_have_ended(start: Start, child_of: Callable[[int], Child]) -> None:
    running = [start() for _ in range(3)]
    children = [child_of(process.pid) for process in running]

    async def body() -> list[Child]:
        asyncio.get_running_loop().call_later(0.05, lambda: list(map(kill, running)))
        return await local.wait_exit(children, 20)

    began = time.monotonic()
    assert asyncio.run(body()) == []
    assert time.monotonic() - began < 10


def test_waiting_gives_back_those_that_have_not_ended(
    start: Start, child_of: Callable[[int], Child]
) -> None:
    gone, there = start(), start()
    children = [child_of(gone.pid), child_of(there.pid)]
    gone.kill()
    gone.wait()
    assert asyncio.run(local.wait_exit(children, 0.05)) == [children[1]]


def test_a_death_is_seen_by_looking_within_half_a_second(start: Start) -> None:
    process = start()

    async def body() -> float:
        seen = asyncio.Event()
        watch = asyncio.ensure_future(local.call_when_ended(process.pid, poll_nothing, seen.set))
        await asyncio.sleep(0)  # it has looked once, and found it alive
        process.kill()
        began = time.monotonic()
        await asyncio.wait_for(seen.wait(), 10)
        assert not watch.done() or watch.exception() is None
        return time.monotonic() - began

    assert asyncio.run(body()) < 0.5 + POLL_SECONDS


def test_a_death_elsewhere_is_the_provisioners_word() -> None:
    answers: list[int | None] = [None, 3]

    async def poll() -> int | None:
        return answers.pop(0)

    async def body() -> None:
        seen = asyncio.Event()
        await asyncio.wait_for(local.call_when_ended(None, poll, seen.set), 10)
        assert seen.is_set()

    asyncio.run(body())
    assert answers == []


def test_looking_at_a_process_costs_little() -> None:
    rounds = 200
    began = time.process_time()
    for _ in range(rounds):
        local.has_ended(os.getpid())
    per_second = (time.process_time() - began) / rounds / POLL_SECONDS
    assert per_second < 0.01  # of a core, and engine


def test_a_zombie_and_a_number_that_nobody_has_have_ended(start: Start) -> None:
    process = start()
    assert not local.has_ended(process.pid)
    process.kill()
    eventually(lambda: local.has_ended(process.pid))
    assert local.has_ended(2**22 + 1)


def test_without_a_table_of_processes_deaths_are_seen_all_the_same(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = start()
    stranger = psutil.Process().ppid()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    assert list(table.rows()) == []
    assert table.started(mine.pid) == 0
    assert local.descendants({os.getpid()}) == []
    assert not local.has_ended(mine.pid)
    assert not local.has_ended(stranger)
    assert local.has_ended(2**22 + 1)
    mine.kill()
    eventually(lambda: local.has_ended(mine.pid))


def test_no_descriptor_where_there_is_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local.open_pidfd(None) == -1
    assert local.open_pidfd(2**22 + 1) == -1
    monkeypatch.setattr(local, "HERE", replace(HERE, pidfds=False))
    assert local.open_pidfd(os.getpid()) == -1


def test_a_group_is_terminated_and_killed(start: Start) -> None:
    polite, stubborn, parent = start(), start(STUBBORN), start(PARENT)
    (child,) = local.descendants({parent.pid})
    for process in (polite, stubborn):
        local.terminate_group(process.pid)
    assert polite.wait(10) == -signal.SIGTERM
    for process in (stubborn, parent):
        local.kill_group(process.pid)
        assert process.wait(10) == -signal.SIGKILL
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    local.kill_group(parent.pid)  # nobody there: no error
    local.kill_group(None)


@pytest.mark.usefixtures("without_groups")
def test_without_groups_a_process_is_killed_with_its_descendants(start: Start) -> None:
    parent = start(PARENT)
    (child,) = local.descendants({parent.pid})
    local.terminate_group(parent.pid)
    local.kill_group(parent.pid)
    assert parent.wait(10) == -signal.SIGKILL
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    local.kill_group(parent.pid)  # nobody there: no error
    local.kill_group(None)


def test_usage_of_a_process_that_is_gone_is_empty() -> None:
    assert local.resource_usage(None) == {}
    assert local.resource_usage(2**22 + 1) == {}
    assert local.resource_usage(os.getpid())["memory_bytes"] > 0


def test_a_stopped_process_is_told_from_one_that_waits(start: Start) -> None:
    process = start(PARENT)
    assert not local.is_stopped(process.pid)
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: local.is_stopped(process.pid))
    process.send_signal(signal.SIGCONT)
    eventually(lambda: not local.is_stopped(process.pid))
    assert not local.is_stopped(None)
    assert not local.is_stopped(2**22 + 1)


def test_a_process_that_was_killed_is_ending_at_once_and_no_other(start: Start) -> None:
    for _ in range(20):
        process = start()
        child = Child(process.pid, local.open_pidfd(process.pid))
        assert not local.is_ending(child)
        process.kill()
        assert local.is_ending(child)  # though it may not have ended
        process.wait(10)
        assert local.is_ending(child)
        os.close(child.pidfd)
    assert not local.is_ending(Child(None))
