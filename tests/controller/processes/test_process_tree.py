"""Finding what carries a mark, in whatever session, and ending that and nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator

import psutil
import pytest

from kernelfleet.controller.processes import process_tree, table
from kernelfleet.wire import process_tags
from tests.fleets import eventually

SLEEP = ["sleep", "300"]
#: Stands for an engine: holds its process tag, forks a daemon without an exec, and ends.
DAEMONISE = """
import os, time
from kernelfleet.engine import shutdown
shutdown.hold_process_tag()
del os.environ["KERNELFLEET_ENGINE"]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.close(1)
        time.sleep(300)
    os._exit(0)
os.wait()
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    started = []

    def start(*command: str, **options: object) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(command, text=True, **options))  # type: ignore[call-overload]
        return started[-1]  # type: ignore[no-any-return]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def carriers(mark: str) -> set[int]:
    return {process.pid for process in process_tree.carriers({mark})}


def test_a_process_with_the_mark_is_found_in_any_session_and_its_children_too(
    start: Start,
) -> None:
    mark = uuid.uuid4().hex
    marked = start(*SLEEP, env=process_tags.added_to(os.environ, mark), start_new_session=True)
    unmarked = start(*SLEEP)
    other = start(*SLEEP, env=process_tags.added_to(os.environ, uuid.uuid4().hex))
    parent = start(
        "sh",
        "-c",
        "sleep 300; true",
        env=process_tags.added_to(os.environ, mark),
        start_new_session=True,
    )
    eventually(lambda: len(carriers(mark)) == 3)
    found = carriers(mark)
    assert found >= {marked.pid, parent.pid}
    assert not found & {unmarked.pid, other.pid, os.getpid()}

    asyncio.run(process_tree.end_all({mark}))
    assert marked.wait(5) == parent.wait(5) == -9
    assert unmarked.poll() is None
    assert other.poll() is None


def test_a_daemon_that_was_forked_and_shows_no_environment_is_found_by_its_file(
    start: Start,
) -> None:
    mark = uuid.uuid4().hex
    # As in the fork server: what the system shows of the environment is not the engine's.
    code = f"import os\nos.environ['KERNELFLEET_ENGINE'] = '{mark}'\n{DAEMONISE}"
    engine = start(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert engine.stdout is not None
    daemon = psutil.Process(int(engine.stdout.readline()))
    assert engine.wait(10) == 0
    assert carriers(mark) == {daemon.pid}
    asyncio.run(process_tree.end_all({mark}))
    eventually(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE)


def test_what_forks_as_fast_as_it_can_is_ended_too(start: Start) -> None:
    mark = uuid.uuid4().hex
    environment = process_tags.added_to(os.environ, mark)
    start("sh", "-c", "while :; do sleep 300 & sleep 0.01; done", env=environment)
    eventually(lambda: len(carriers(mark)) > 3)
    asyncio.run(process_tree.end_all({mark}))
    assert not carriers(mark)


def test_without_marks_nobody_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "rows", lambda: 1 / 0)
    asyncio.run(process_tree.end_all(set()))


def test_what_began_before_the_engine_and_other_engines_are_left_out(start: Start) -> None:
    mark = uuid.uuid4().hex
    environment = process_tags.added_to(os.environ, mark)
    first = start(*SLEEP, env=environment)
    began = table.started(first.pid)
    eventually(lambda: table.started(os.getpid()) < began and carriers(mark) == {first.pid})

    def found(engines: process_tree.Engines) -> set[int]:
        return {process.pid for process in process_tree.carriers({mark}, engines)}

    assert found(process_tree.Engines(since=began)) == {first.pid}
    assert found(process_tree.Engines(since=began + 1)) == set()
    assert found(process_tree.Engines(living={first.pid: began})) == set()
    # its number was reused: this is not the engine that was known
    assert found(process_tree.Engines(living={first.pid: began - 1})) == {first.pid}
