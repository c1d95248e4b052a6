"""Interrupts: engines come back within a second with their names, and nothing else is hit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.errors import CompositeError, InterruptUnheeded, QueueCleared, RemoteError
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet

pytestmark = pytest.mark.slow

#: From the interrupt to the failure of what it interrupts.
PROMISED_SECONDS = 1.0

#: Each prints when it is there, so that a test need not guess.
LONG = {
    "sleep": "import time\nprint('in', flush=True)\ntime.sleep(60)",
    "loop": "print('in', flush=True)\nwhile True: pass",
    "await": "import asyncio\nprint('in', flush=True)\nawait asyncio.sleep(60)",
    "asyncio.run": "import asyncio\nprint('in', flush=True)\nasyncio.run(asyncio.sleep(60))",
    "subprocess": ("import subprocess\nprint('in', flush=True)\nsubprocess.run(['sleep', '60'])"),
}


def start(mec: MultiEngineClient, code: str, n: int) -> tuple[PendingResult[Any], threading.Event]:
    """Run code without waiting; the event says that ``n`` engines are in it."""
    inside, entered = threading.Event(), set[int]()

    def on_output(engine_id: int, *_: object) -> None:
        entered.add(engine_id)
        if len(entered) == n:
            inside.set()

    pending = mec.execute(code, block=False, on_output=on_output)
    return pending, inside


def assert_interrupted(pending: PendingResult[Any]) -> CompositeError:
    with pytest.raises(CompositeError) as caught:
        pending.result(30)
    for error in caught.value.exceptions:
        assert isinstance(error, RemoteError)
        assert error.ename == "KeyboardInterrupt"
    return caught.value


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("what", LONG)
def test_an_interrupted_engine_is_back_within_a_second_with_its_namespace(
    mec: MultiEngineClient, what: str
) -> None:
    n = len(mec)
    mec.push({"x": 5})
    pending, inside = start(mec, LONG[what], n)
    assert inside.wait(20)
    started = time.monotonic()
    mec.interrupt()
    error = assert_interrupted(pending)
    assert time.monotonic() - started < PROMISED_SECONDS
    assert len(error.exceptions) == n
    assert mec.pull("x") == [5] * n
    assert mec.execute("x + engine_id", timeout=20).values() == [5, 6, 7, 8]


@pytest.mark.parametrize("transport", ["embedded"])
def test_a_hundred_interrupts_in_a_row_hit_what_they_are_for_and_nothing_else(
    mec: MultiEngineClient,
) -> None:
    chance = random.Random(1)
    mec.push({"x": 5})
    for round_ in range(100):
        what = chance.choice(["sleep", "loop", "await"])
        pending, inside = start(mec.view([0, 1]), LONG[what], 2)
        assert inside.wait(20), (round_, what)
        began = time.monotonic()
        mec.interrupt([0, 1])
        assert_interrupted(pending)
        seconds = time.monotonic() - began
        assert seconds < PROMISED_SECONDS, (round_, what)
        assert mec.execute(f"x + {round_}", targets=[0, 1], timeout=20).values() == [round_ + 5] * 2


@pytest.mark.parametrize("transport", ["embedded"])
def test_an_interrupt_that_races_the_end_of_a_command_never_hits_the_next(
    mec: MultiEngineClient,
) -> None:
    chance = random.Random(2)
    for round_ in range(60):
        fast = mec.execute(f"y = {round_}", targets=0, block=False)
        if chance.random() < 0.5:
            deadline = time.perf_counter() + chance.random() * 0.003
            while time.perf_counter() < deadline:
                pass
        stop = mec.interrupt(0, block=False)
        with_error = fast.exception(20)
        assert with_error is None or "KeyboardInterrupt" in str(with_error)
        stop.result(20)
        assert mec.execute(f"'next {round_}'", targets=0, timeout=20).values() == [f"next {round_}"]


@pytest.mark.parametrize("transport", ["embedded"])
@pytest.mark.parametrize("what", ["sleep", "loop", "await"])
def test_an_interrupt_right_after_the_call_is_not_lost(mec: MultiEngineClient, what: str) -> None:
    """SIGINT alone would come before the code has begun, and do nothing."""
    chance = random.Random(3)
    for _ in range(20):
        pending = mec.execute(LONG[what], block=False)
        deadline = time.perf_counter() + chance.random() * 0.004
        while time.perf_counter() < deadline:
            pass
        mec.interrupt()
        assert len(assert_interrupted(pending).exceptions) == len(mec)


@pytest.mark.parametrize("transport", ["embedded"])
def test_an_interrupt_of_idle_engines_does_nothing(mec: MultiEngineClient) -> None:
    for _ in range(20):
        mec.interrupt()
        assert mec.execute("1", timeout=20)[0]["id"] == 0


@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_what_is_asked_after_an_interrupt_is_not_cleared_by_its_error(
    mec: MultiEngineClient,
) -> None:
    for _ in range(5):
        pending, inside = start(mec, LONG["sleep"], len(mec))
        assert inside.wait(20)
        mec.interrupt()
        assert mec.execute("5", timeout=20).values() == [5] * len(mec)
        assert_interrupted(pending)


@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_an_interrupt_clears_what_the_same_client_queued_behind_it(
    connect: Callable[[], MultiEngineClient], mec: MultiEngineClient
) -> None:
    other = connect()
    pending, inside = start(mec.view(0), LONG["sleep"], 1)
    behind = mec.execute("'never'", targets=0, block=False)
    of_other = other.execute("'mine'", targets=0, block=False)
    assert inside.wait(20)
    mec.interrupt(0)
    assert_interrupted(pending)
    with pytest.raises(CompositeError) as caught:
        behind.result(20)
    assert isinstance(caught.value.exceptions[0], QueueCleared)
    assert of_other.result(20).values() == ["mine"]


@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_cancel_with_interrupt_ends_only_its_own_call(
    connect: Callable[[], MultiEngineClient], mec: MultiEngineClient
) -> None:
    other = connect()
    mine, inside = start(mec.view(0), LONG["sleep"], 1)
    theirs, theirs_inside = start(other.view(1), LONG["sleep"], 1)
    assert inside.wait(20)
    assert theirs_inside.wait(20)
    assert mine.cancel(interrupt=True)
    assert_interrupted(mine)
    assert not theirs.done()
    theirs.cancel(interrupt=True)
    assert_interrupted(theirs)


@pytest.mark.parametrize("transport", ["embedded"])
def test_ctrl_c_between_sending_and_waiting_leaves_nothing_running(
    mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MultiEngineClient, "_wait", pressed)
        with pytest.raises(KeyboardInterrupt) as caught:
            mec.execute("import time; time.sleep(60)")
    assert "engines interrupted: 0, 1, 2, 3" in caught.value.__notes__[0]
    assert_interrupted(caught.value.pending_result)  # type: ignore[attr-defined]
    assert [status["pending"] for _, status in mec.queue_status()] == [None] * 4


@pytest.mark.parametrize("transport", ["embedded"])
def test_ctrl_c_in_a_call_that_waits_behind_another_takes_back_that_call_alone_and_says_so(
    mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    running, inside = start(mec, LONG["sleep"], len(mec))
    assert inside.wait(20)
    with monkeypatch.context() as patch:
        patch.setattr(MultiEngineClient, "_wait", pressed)
        with pytest.raises(KeyboardInterrupt) as caught:
            mec.execute("'never'")
    note = caught.value.__notes__[0]
    assert "engines interrupted: none (they had not begun this call, or had ended it)" in note
    assert [status["queue"] for _, status in mec.queue_status()] == [[]] * 4
    assert not running.done()
    mec.interrupt()
    assert_interrupted(running)


SCRIPT = """
import signal, sys, time
from kernelfleet import Fleet, MultiEngineClient
signal.signal(signal.SIGINT, signal.default_int_handler)
fleet = None
if sys.argv[1] == "embedded":
    fleet = Fleet(n=2)
    mec = fleet.start()
else:
    mec = MultiEngineClient(sys.argv[1])
mec.push({"x": 5})
began = None
try:
    mec.execute(
        "import time; print('in', flush=True); time.sleep(60)",
        on_output=lambda _, kind, __: kind == "stream" and print("in", flush=True),
    )
except KeyboardInterrupt as interrupt:
    notes = interrupt.__notes__
    pending = interrupt.pending_result
    assert pending.done(), "not ended"
    assert "KeyboardInterrupt" in str(pending.exception()), pending.exception()
    assert "engines interrupted: 0, 1" in notes[0], notes
    assert mec.pull("x") == [5, 5]
    print("came back", flush=True)
if fleet is not None:
    fleet.stop()
mec.close()
"""


def test_ctrl_c_in_a_blocking_call_interrupts_its_engines_and_comes_back(
    own_fleet: Callable[..., OwnFleet], transport: str
) -> None:
    address = transport
    if transport != "embedded":
        address = own_fleet(2, transport="unix").name
    script = SCRIPT
    if transport == "tcp":
        fleet = own_fleet(2, transport="tcp")
        script = SCRIPT.replace("sys.argv[1])", f"('127.0.0.1', {fleet.port}))")
    process = subprocess.Popen(
        [sys.executable, "-c", script, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["in\n", "in\n"]
        began = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        answer = process.stdout.readline()
        seconds = time.monotonic() - began
        if answer:
            process.wait(20)
    finally:
        process.kill()
        _, errors = process.communicate()
    assert (answer, errors) == ("came back\n", "")
    assert process.returncode == 0
    assert seconds < PROMISED_SECONDS


def test_what_is_sent_after_an_interrupt_runs_however_long_that_takes(
    mec: MultiEngineClient, gate: Gate
) -> None:
    """The interrupt's own error clears what was queued before it, and nothing after it."""
    code = (
        "import time\nprint('in', flush=True)\n"
        f"try: time.sleep(60)\nfinally: {gate.code}  # longer than an interrupt waits\n"
    )
    running = mec.execute(code, block=False)
    queued = mec.execute("never = 1", block=False)
    eventually(lambda: all(running.stdout.get(i) == "in\n" for i in range(4)))
    with pytest.warns(InterruptUnheeded, match=r"not stopped yet: 0-3 in "):
        mec.interrupt()
    assert not running.done()
    later = mec.execute("x = 42", block=False)
    gate.open()
    later.result(20)
    assert mec.pull("x") == [42] * 4
    assert "KeyboardInterrupt" in str(running.exception(10))
    assert "QueueCleared" in str(queued.exception(10))
