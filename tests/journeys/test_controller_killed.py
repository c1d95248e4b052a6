"""The controller is killed: clients are told, engines end by themselves, the next start cleans."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet.errors import ControllerUnreachable
from kernelfleet.wire.files import connection_file, fleet_paths
from tests.fleets import eventually
from tests.journeys.daemons import _DAEMON, MARK, OwnFleet, marked

pytestmark = pytest.mark.slow

#: Until a client that asks is told; until the engines are gone.
PROMISED_ANSWER, PROMISED_END = 3.0, 5.0


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize(
    "code",
    ["pass", "import time; time.sleep(60)", "while True: pass", "sum(range(10**11))"],
    ids=["idle", "sleeping", "looping", "holding the GIL"],
)
def test_clients_are_told_and_engines_are_gone(
    own_fleet: Callable[..., OwnFleet], transport: str, code: str
) -> None:
    fleet = own_fleet(2, transport=transport)
    mec = fleet.client()
    waiting = mec.execute(f"print('in', flush=True)\n{code}", block=False)
    eventually(lambda: waiting.stdout == {0: "in\n", 1: "in\n"})
    idle = fleet.client()
    assert len(fleet.processes()) >= 3
    fleet.kill()
    killed = time.monotonic()

    with pytest.raises(ControllerUnreachable):
        idle.execute("1", timeout=20)
    assert time.monotonic() - killed < PROMISED_ANSWER
    if code != "pass":
        with pytest.raises(ControllerUnreachable):
            waiting.result(PROMISED_ANSWER)
    with pytest.raises(ControllerUnreachable, match="kernelfleet start"):
        mec.execute("1")
    eventually(lambda: not fleet.processes(), PROMISED_END - (time.monotonic() - killed))

    assert fleet.directory.exists()
    with_successor = own_fleet(1, transport=transport)
    assert not fleet.directory.exists()
    assert with_successor.client().get_ids() == [0]


def test_a_successor_of_the_same_name_knows_nothing_of_an_old_client(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    fleet = own_fleet(1, transport="unix")
    old = fleet.client()
    fleet.kill()
    assert fleet.process is not None
    assert fleet.process.stdout is not None
    fleet.process.stdout.close()
    fleet._start_daemon({"n": 1, "name": fleet.name})
    with pytest.raises(ControllerUnreachable):
        old.execute("1", timeout=20)
    assert fleet.client().execute("1")[0]["number"] == 1
    assert [each.name for each in connection_file.find_fleets() if each.name == fleet.name]


CHILDREN = """
import multiprocessing, subprocess, time
child = subprocess.Popen('sleep 600 & sleep 600', shell=True)
worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=[600])
worker.start()
print('in', flush=True)
time.sleep(600)
"""


SLOW_TO_LEAVE = """
import atexit, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
atexit.register(time.sleep, 9)
"""


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "spawned"])
@pytest.mark.parametrize("how", ["SIGKILL", "SIGABRT", "SIGSEGV", "SIGQUIT", "SIGHUP"])
def test_engines_end_with_their_children_frozen_or_holding_the_gil(
    own_fleet: Callable[..., OwnFleet], fork: bool, how: str
) -> None:
    fleet = own_fleet(3, transport="unix", fork=fork)
    mec = fleet.client()
    family = mec.execute(CHILDREN, targets=0, block=False)
    holding = mec.execute("print('in', flush=True)\nsum(range(10**11))", targets=1, block=False)
    eventually(lambda: family.stdout == {0: "in\n"} and holding.stdout == {1: "in\n"})
    frozen = mec.engines()[2].pid
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    assert len(fleet.processes()) >= 9
    assert fleet.process is not None
    fleet.process.send_signal(getattr(signal, how))
    ended = time.monotonic()
    eventually(lambda: not fleet.processes(), PROMISED_END)
    print(f"engines gone after {time.monotonic() - ended:.2f} s")
    for pending in (family, holding):
        with pytest.raises(ControllerUnreachable):
            pending.result(PROMISED_ANSWER)
    print(f"clients told after {time.monotonic() - ended:.2f} s")


def test_kernels_of_others_end_too(own_fleet: Callable[..., OwnFleet], tmp_path: Path) -> None:
    fleet = own_fleet(1, transport="unix", kernel="python3")
    mec = fleet.client()
    inside = tmp_path / "inside"  # what it prints would not leave it any more
    mec.execute(f"open({str(inside)!r}, 'w').close()\nsum(range(10**11))", block=False)
    eventually(inside.exists)
    fleet.kill()
    eventually(lambda: not fleet.processes(), PROMISED_END)


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "spawned"])
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_nothing_is_left_of_a_fleet_whose_controller_ends_while_it_starts(
    fork: bool, how: str
) -> None:
    moments = random.Random(how)
    for _ in range(4):
        mark = uuid.uuid4().hex
        options = json.dumps({"n": 4, "name": "starting", "fork": fork})
        with subprocess.Popen(
            [sys.executable, "-c", _DAEMON, options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, MARK: mark},
        ) as process:
            eventually(lambda: fleet_paths.is_running("starting"))
            patience = moments.uniform(0, 0.8 if fork else 1.5)
            # any moment of the start is a good one
            assert process.stdout is not None
            _wait_for_line(process.stdout.fileno(), patience)
            process.send_signal(getattr(signal, how))
            process.wait(20)
            if how != "SIGKILL":
                assert process.returncode == 0
                assert not fleet_paths.fleet_dir("starting").exists()
        try:
            eventually(lambda mark=mark: not marked(mark), PROMISED_END)  # type: ignore[misc]
        finally:
            for left in marked(mark):
                left.kill()


def _wait_for_line(fd: int, seconds: float) -> None:
    select.select([fd], [], [], seconds)


@pytest.mark.parametrize("during", ["restart", "stop"])
@pytest.mark.parametrize("fork", [True, False], ids=["forked", "spawned"])
def test_nothing_is_left_of_a_fleet_whose_controller_is_killed_in_a_restart_or_stop(
    own_fleet: Callable[..., OwnFleet], fork: bool, during: str
) -> None:
    fleet = own_fleet(3, transport="unix", fork=fork)
    mec = fleet.client()
    # which makes the end of an engine last
    mec.execute(SLOW_TO_LEAVE, timeout=20)
    if during == "restart":
        pending = mec._connection.request(
            {"type": "request", "operation": "restart", "targets": [0, 1, 2]}, []
        )
    else:
        mec._connection.call("shutdown")
    fleet.kill()
    eventually(lambda: not fleet.processes(), PROMISED_END)
    if during == "restart":
        with pytest.raises(ControllerUnreachable):
            pending.result(20)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_push_under_way_is_told_and_its_memory_is_freed(
    own_fleet: Callable[..., OwnFleet], transport: str
) -> None:
    fleet = own_fleet(2, transport=transport)
    mec = fleet.client()
    blocks = open_blocks()
    pending = mec.push({"x": bytes(100_000_000)}, block=False)
    fleet.kill()
    began = time.monotonic()
    with pytest.raises(ControllerUnreachable):
        pending.result(20)
    assert time.monotonic() - began < PROMISED_ANSWER
    del pending
    eventually(lambda: open_blocks() <= blocks)
    eventually(lambda: not fleet.processes(), PROMISED_END)


def open_blocks() -> int:
    """How many blocks of shared memory this process holds open."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            continue
    return sum("memfd:kernelfleet" in link for link in links)
