"""An engine is stopped (SIGSTOP) and goes on later: nobody hangs, and nothing is answered twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CallTimeout, InterruptUnheeded
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet
from tests.journeys.manners import IN_EVERY_MANNER

Start = Callable[..., OwnFleet]


def states(mec: MultiEngineClient) -> list[str]:
    return [engine.state for engine in mec.engines()]


@contextmanager
def frozen(mec: MultiEngineClient, engine_id: int) -> Iterator[None]:
    """Stop an engine's process for a while."""
    pid = mec.engines()[engine_id].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: states(mec)[engine_id] == "stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@IN_EVERY_MANNER
def test_a_stopped_engine_is_seen_and_waited_for_no_longer_than_asked(
    own_fleet: Start, gate: Gate, transport: str, fork: bool
) -> None:
    mec = own_fleet(2, transport=transport, fork=fork).client()
    mec.execute("seen = []")
    running = mec.execute(gate.code, targets=1, block=False)
    gate.entered()
    with frozen(mec, 1):
        gate.open()
        began = time.monotonic()
        with pytest.raises(
            CallTimeout, match=r"1 of 2 engines are done; the work goes on \(on 1\)"
        ) as caught:
            mec.execute("seen.append('call')", timeout=0.2)
        # It comes back, says why the engine goes on, and has no effect on what follows.
        with pytest.warns(InterruptUnheeded, match="1 in a process that is stopped"):
            mec.interrupt(1, timeout=5)
        assert mec.execute("6 * 7", targets=0, timeout=5)[0].value == 42
        queued = [mec.execute(f"seen.append({i})", targets=1, block=False) for i in range(20)]
        assert time.monotonic() - began < 3
        assert not running.done()
        assert states(mec) == ["idle", "stopped"]
    # The interrupt was for the command that ran then; an error of it takes what was queued along.
    running.exception(10)
    ended = [pending.exception(10) for pending in (caught.value.pending_result, *queued)]
    expected = [what for what, error in zip(["call", *range(20)], ended, strict=True) if not error]
    assert mec.pull("seen", timeout=10) == [["call"], expected]
    assert mec.execute("'works on'", targets=1, timeout=10)[0].value == "works on"
    assert states(mec) == ["idle", "idle"]


@IN_EVERY_MANNER
def test_what_was_asked_meanwhile_is_done_once_and_in_order(
    own_fleet: Start, transport: str, fork: bool
) -> None:
    mec = own_fleet(2, transport=transport, fork=fork).client()
    mec.execute("seen = []")
    heard: list[tuple[int, str]] = []
    with frozen(mec, 1):
        pendings = [
            mec.execute(
                f"seen.append({i}); print({i})",
                block=False,
                on_output=lambda engine, _, content: heard.append((engine, content["text"])),
            )
            for i in range(30)
        ]
        pushed = mec.push({"x": bytearray(10_000_000)}, targets=1, block=False)
        eventually(lambda: mec.queue_status(0)[0][1] == {"queue": [], "pending": None})
        assert not any(pending.done() for pending in pendings)
    assert [[each.stdout for each in pending.result(20)] for pending in pendings] == [
        [f"{i}\n"] * 2 for i in range(30)
    ]
    assert pushed.result(20) == [None]
    assert mec.pull("seen") == [list(range(30))] * 2
    # in order; a timer may publish what a print has written so far, and its newline after that
    texts = "".join(text for engine, text in heard if engine == 1)
    assert texts == "".join(f"{i}\n" for i in range(30))


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["embedded", "tcp"])
def test_a_map_goes_on_without_it_and_ends_with_it(own_fleet: Start, transport: str) -> None:
    mec = own_fleet(3, transport=transport).client()
    with frozen(mec, 1):
        pending = mec.map(lambda x: x * x, range(1000), block=False)
        # All is done but what the stopped engine has been given.
        eventually(lambda: pending.progress[0] >= 900)
        assert not pending.done()
        with pytest.raises(CallTimeout, match="of 1000 items are done"):
            pending.result(0.2)
    assert pending.result(20) == [x * x for x in range(1000)]


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False], ids=["forked", "ordinary"])
@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_a_fleet_stops_in_time_with_a_stopped_engine(
    own_fleet: Start, transport: str, fork: bool
) -> None:
    fleet = own_fleet(2, transport=transport, fork=fork)
    mec = fleet.client()
    pid = mec.engines()[1].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: states(mec)[1] == "stopped")
    began = time.monotonic()
    fleet.stop()
    assert time.monotonic() - began < 3
    assert not fleet.processes()
    assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.slow
def test_the_command_line_shows_it(own_fleet: Start) -> None:
    fleet = own_fleet(2, transport="unix")
    command = [sys.executable, "-m", "kernelfleet.cli", "status", fleet.name, "--json"]
    with frozen(fleet.client(), 1):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert [each["state"] for each in json.loads(done.stdout)["engines"]] == ["idle", "stopped"]


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["embedded", "unix", "tcp"])
def test_a_whole_minute_changes_nothing(own_fleet: Start, transport: str) -> None:
    mec = own_fleet(2, transport=transport).client()
    with frozen(mec, 1):
        pending = mec.execute("print('late')", block=False)
        began = time.monotonic()
        with pytest.raises(CallTimeout):
            pending.result(60)
        assert 60 <= time.monotonic() - began < 63
        assert mec.execute("1", targets=0, timeout=5)[0]["number"] == 2
    assert [each.stdout for each in pending.result(20)] == ["late\n", "late\n"]
    assert [each["number"] for each in mec.execute("1", timeout=20)] == [3, 2]
