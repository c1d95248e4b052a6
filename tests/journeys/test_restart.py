"""Engines that are started afresh: the same id, nothing of the old life, never two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.controller.lifecycle import registry
from kernelfleet.errors import CompositeError, EngineDied, InvalidEngineID, StartError
from tests.conftest import HOME
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet
from tests.journeys.leftovers import assert_nothing_left, take_stock
from tests.journeys.manners import IN_EVERY_MANNER

Start = Callable[..., OwnFleet]

#: For a restart of whatever does not want to end.
PROMISED_SECONDS = 3.0


@pytest.fixture
def switch() -> Iterator[Path]:
    """While it exists, the code of ``on_start(switch, ...)`` does what it is not to do."""
    path = HOME / "misbehave"
    yield path
    path.unlink(missing_ok=True)


def on_start(switch: Path, misbehave: str) -> str:
    return (
        f"import os\nready = engine_id + 10\nif os.path.exists({str(switch)!r}):\n    {misbehave}"
    )


def count_processes() -> int:
    """How many processes descend from this one; zombies are none."""
    count = 0
    for each in psutil.Process().children(recursive=True):
        try:
            count += each.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            continue
    return count


def at_once(*calls: Callable[[], object]) -> list[Exception | None]:
    """Call them all, each in a thread of its own; what each raised."""
    barrier = threading.Barrier(len(calls))
    raised: list[Exception | None] = [None] * len(calls)

    def run(i: int, call: Callable[[], object]) -> None:
        barrier.wait()
        try:
            call()
        except Exception as error:
            raised[i] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def numbers(mec: MultiEngineClient) -> list[int]:
    return [each["number"] for each in mec.execute("1", timeout=20)]


@IN_EVERY_MANNER
def test_a_restarted_engine_has_its_id_counts_from_one_and_has_run_its_on_start_code(
    own_fleet: Start, transport: str, fork: bool
) -> None:
    mec = own_fleet(2, transport=transport, fork=fork, on_start="ready = engine_id + 10").client()
    mec.push({"x": 1})
    mec.set_properties({"label": "old"}, targets=1)
    before = [engine.pid for engine in mec.engines()]
    assert numbers(mec) == [1, 1]
    mec.restart(1, timeout=60)
    assert numbers(mec) == [2, 1]
    assert mec.pull("ready") == [10, 11]
    assert mec.keys() == [["ready", "x"], ["ready"]]
    assert mec.has_properties(["label"], targets=1) == [[False]]
    after = [engine.pid for engine in mec.engines()]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_two_clients_that_restart_one_engine_at_once_get_one_engine(own_fleet: Start) -> None:
    fleet = own_fleet(2, transport="embedded")
    mec, other = fleet.client(), fleet.client()
    size = count_processes()
    for _ in range(2):
        assert at_once(
            lambda: mec.restart(0, timeout=30),
            lambda: other.restart([0, 1], timeout=30),
        ) == [None, None]
        assert numbers(mec) == [1, 1]
    eventually(lambda: count_processes() == size)


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False], ids=["forked", "ordinary"])
@pytest.mark.parametrize("transport", ["embedded", "tcp"])
def test_restarts_kills_and_scales_at_once_leave_the_engines_that_are_listed(
    own_fleet: Start, transport: str, fork: bool
) -> None:
    fleet = own_fleet(3, transport=transport, fork=fork)
    clients = [fleet.client() for _ in range(4)]
    mec = clients[0]
    size = count_processes() - 3
    for i in range(5):
        raised = at_once(
            lambda: clients[0].restart(0, timeout=60),
            lambda: clients[1].kill(0, timeout=60),
            lambda: clients[2].scale(4, timeout=60),
            lambda i=i: clients[3].restart([i % 3, 2], timeout=60),  # type: ignore[misc]
        )
        assert all(error is None or isinstance(error, InvalidEngineID) for error in raised), raised
        mec.scale(3, timeout=60)
        ids = mec.get_ids()
        assert len(ids) == 3
        assert [each["id"] for each in mec.execute("1", timeout=20)] == ids
        eventually(lambda: count_processes() == size + 3)


@pytest.mark.parametrize(
    ("misbehave", "told"),
    [
        ("1 / 0", "on_start code failed: ZeroDivisionError"),
        ("os._exit(4)", "engine 1 did not come up: its process ended with exit code 4"),
        pytest.param(
            "exec('while True: pass')",
            "did not finish its on_start",
            id="loops",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_on_start_code_that_fails_at_a_restart_leaves_the_engine_dead_and_no_process(
    own_fleet: Start, switch: Path, monkeypatch: pytest.MonkeyPatch, misbehave: str, told: str
) -> None:
    fleet = own_fleet(2, transport="embedded", on_start=on_start(switch, misbehave))
    mec = fleet.client()
    size = count_processes()
    switch.touch()
    with monkeypatch.context() as patient:
        patient.setattr(registry, "START_TIMEOUT", 2.0 if "while" in misbehave else 60.0)
        with pytest.raises(StartError, match=told):
            mec.restart(1, timeout=30)
    assert mec.get_ids() == [0]
    assert count_processes() == size - 1
    with pytest.raises(InvalidEngineID, match=told):
        mec.execute("1", targets=1)
    switch.unlink()
    mec.restart(1, timeout=30)
    assert mec.pull("ready") == [10, 11]
    assert count_processes() == size


@pytest.mark.slow
def test_a_crash_loop_of_on_start_code_ends_in_a_clear_state(
    own_fleet: Start, switch: Path
) -> None:
    code = on_start(switch, "os.kill(os.getpid(), 9)")
    fleet = own_fleet(2, transport="embedded", on_start=code, restart="on-death")
    mec = fleet.client()
    size = count_processes()
    switch.touch()
    with pytest.raises(CompositeError):
        mec.execute("os._exit(3)", targets=1, timeout=20)
    # Five starts, and pauses of 0.1, 0.2, 0.4, 0.8 and 1.6 s before them.
    eventually(lambda: "too often" in mec._connection.roster.dead.get(1, ""), 30)
    with pytest.raises(InvalidEngineID, match=r"exit code 3; it was restarted too often"):
        mec.execute("1", targets=1)
    eventually(lambda: count_processes() == size - 1)
    assert mec.execute("ready", targets=0)[0].value == 10
    switch.unlink()
    mec.restart(1, timeout=30)
    assert mec.pull("ready") == [10, 11]


def is_changing(mec: MultiEngineClient) -> bool:
    return any(engine.state in ("starting", "stopping") for engine in mec.engines())


STUBBORN = {
    "holding its GIL": "sum(range(10**11))",
    "deaf to signals": (
        "import signal, time\n"
        "for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n"
        "    signal.signal(each, signal.SIG_IGN)\n"
        "time.sleep(1000)"
    ),
    "stopped": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", STUBBORN)
@IN_EVERY_MANNER
def test_an_engine_that_does_not_want_to_end_is_restarted_in_time(
    own_fleet: Start, transport: str, fork: bool, what: str
) -> None:
    mec = own_fleet(2, transport=transport, fork=fork).client()
    running = mec.execute(f"print('in', flush=True)\n{STUBBORN[what]}", targets=1, block=False)
    queued = mec.execute("1", targets=1, block=False)
    eventually(lambda: running.stdout.get(1) == "in\n")
    began = time.monotonic()
    mec.restart(1, timeout=30)
    # An ordinary engine takes a second to start, more on a busy machine.
    assert time.monotonic() - began < PROMISED_SECONDS + (0 if fork else 5)
    for pending in (running, queued):
        error = pending.exception(5)
        assert isinstance(error, CompositeError)
        assert isinstance(error.exceptions[0], EngineDied)
        assert "it was restarted" in str(error)
    assert numbers(mec) == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False], ids=["forked", "ordinary"])
@pytest.mark.parametrize("verb", ["restart", "scale"])
def test_a_fleet_that_is_stopped_meanwhile_leaves_nothing(
    own_fleet: Start, fork: bool, verb: str
) -> None:
    for _ in range(3):
        before = take_stock()
        fleet = own_fleet(2, transport="embedded", fork=fork)
        mec = fleet.client()
        pending = mec.restart(block=False) if verb == "restart" else mec.scale(6, block=False)
        eventually(partial(is_changing, mec))
        fleet.stop()
        assert pending.exception(10) is not None
        mec.close()
        assert not fleet.processes()
        assert_nothing_left(before)


@pytest.mark.slow
def test_the_command_line_restarts_engines_of_a_daemon(own_fleet: Start) -> None:
    fleet = own_fleet(2, transport="unix", on_start="ready = engine_id + 10")
    mec = fleet.client()
    mec.execute("x = 1")
    os.kill(mec.engines()[1].pid or 0, signal.SIGKILL)
    eventually(lambda: mec.get_ids() == [0])
    command = [sys.executable, "-m", "kernelfleet.cli", "restart", "1", "--name", fleet.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"Restarted in fleet '{fleet.name}': 1.\n"
    assert numbers(mec) == [2, 1]
    subprocess.run([*command[:4], *command[5:]], timeout=60, check=True, capture_output=True)
    assert numbers(mec) == [1, 1]
    assert mec.pull("ready") == [10, 11]
