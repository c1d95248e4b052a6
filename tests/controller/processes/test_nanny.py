"""The nanny kills the groups that a killed process has left to it, and nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kernelfleet.controller.processes.nanny import Nanny
from tests.fleets import eventually

_OWNER = """
import subprocess, sys, time
from kernelfleet.controller.processes.nanny import Nanny
nanny = Nanny()
def start():
    script = 'sleep 600 & sleep 600'
    return subprocess.Popen(['sh', '-c', script], start_new_session=True, stdout=subprocess.DEVNULL)
guarded, forgotten = start(), start()
nanny.watch(guarded.pid)
nanny.watch(forgotten.pid)
nanny.forget(forgotten.pid)
print(guarded.pid, forgotten.pid, nanny._process.pid, flush=True)
time.sleep(600)
"""


#: A group that tidies up when it is asked to end, and one that does not care.
_POLITE_OWNER = """
import subprocess, sys, time
from kernelfleet.controller.processes.nanny import Nanny
nanny = Nanny()
def start(script):
    return subprocess.Popen(['sh', '-c', script], start_new_session=True, stdout=subprocess.DEVNULL)
tidy = start(f'trap "echo tidied > {sys.argv[1]}; exit" TERM; while :; do sleep 0.05; done')
deaf = start('trap "" TERM; while :; do sleep 0.05; done')
for each in (tidy, deaf):
    nanny.watch(each.pid, politely=True)
print(tidy.pid, deaf.pid, flush=True)
time.sleep(600)
"""


def test_who_is_watched_politely_is_asked_first_and_killed_if_it_does_not_end(
    tmp_path: Path,
) -> None:
    said = tmp_path / "said"
    command = [sys.executable, "-c", _POLITE_OWNER, str(said)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        tidy, deaf = map(int, owner.stdout.readline().split())
        owner.kill()
    eventually(lambda: not members(tidy))
    assert said.read_text() == "tidied\n"
    eventually(lambda: not members(deaf))


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


#: Its own process is not watched, and gone before its owner; what carries its tag lives.
_TAGGED_OWNER = """
import os, subprocess, time
from kernelfleet.controller.processes.nanny import Nanny
from kernelfleet.wire import process_tags
nanny = Nanny()
def start(tag):
    environment = process_tags.added_to(os.environ, tag)
    sleep = ['sleep', '600']
    apart = {'start_new_session': True, 'stdout': subprocess.DEVNULL}
    return subprocess.Popen(sleep, env=environment, **apart)
started = [start(tag) for tag in ('tag-of-a-life', 'tag-let-go')]
for tag in ('tag-of-a-life', 'tag-let-go'):
    nanny.watch_tag(tag)
nanny.forget_tag('tag-let-go')
print(*(each.pid for each in started), flush=True)
time.sleep(600)
"""


def test_what_carries_a_tag_of_a_killed_owner_ends_in_whatever_session() -> None:
    command = [sys.executable, "-c", _TAGGED_OWNER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        tagged, let_go = map(int, owner.stdout.readline().split())
        owner.kill()
    try:
        eventually(lambda: not members(tagged), 5)
        assert members(let_go)
    finally:
        os.killpg(let_go, signal.SIGKILL)


def members(group: int) -> list[psutil.Process]:
    """The living processes of a group."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def test_the_groups_of_a_killed_owner_end_but_not_those_it_has_let_go(
    owner: subprocess.Popen[str],
) -> None:
    assert owner.stdout is not None
    guarded, forgotten, nanny = map(int, owner.stdout.readline().split())
    eventually(lambda: len(members(guarded)) == len(members(forgotten)) == 3)
    owner.kill()
    try:
        eventually(lambda: not members(guarded), 5)
        eventually(lambda: not members(nanny), 5)
        assert len(members(forgotten)) == 3
    finally:
        os.killpg(forgotten, signal.SIGKILL)


def test_it_ends_with_the_last_process_it_guards_and_comes_again() -> None:
    before = set(psutil.Process().children())
    nanny = Nanny()
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        for _ in range(2):
            nanny.watch(child.pid)
            (watcher,) = set(psutil.Process().children()) - before - {psutil.Process(child.pid)}
            eventually(lambda it=watcher: bool(it.cmdline()))  # type: ignore[misc]  # after its exec
            assert watcher.cmdline()[-1] == str(os.getpid())
            nanny.watch_tag("a-tag")
            nanny.forget(child.pid)
            assert watcher.is_running()
            nanny.forget_tag("a-tag")
            assert not watcher.is_running()
        nanny.forget(child.pid)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_nanny_that_is_stopped_does_not_stop_us_and_misses_nothing() -> None:
    nanny = Nanny()
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        nanny.watch(child.pid)
        first = nanny._process
        assert first is not None
        os.kill(first.pid, signal.SIGSTOP)
        while nanny._process is first:
            nanny.watch(child.pid)
        assert nanny._process is not None
        assert first.poll() == -signal.SIGKILL
    finally:
        nanny.forget(child.pid)
        child.kill()
        child.wait()


def test_a_nanny_that_was_killed_is_replaced_with_the_next_process() -> None:
    nanny = Nanny()
    children = [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2)]
    try:
        nanny.watch(children[0].pid)
        first = nanny._process
        assert first is not None
        first.kill()
        first.wait()
        nanny.watch(children[1].pid)
        assert nanny._process is not None
        assert nanny._process.pid != first.pid
    finally:
        for child in children:
            nanny.forget(child.pid)
            child.kill()
            child.wait()
