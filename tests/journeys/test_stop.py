"""A fleet stops within two seconds, whatever its engines do, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.controller.host import FleetHost
from kernelfleet.errors import ControllerUnreachable, FleetError, FleetStopped, StartError
from kernelfleet.wire.files import connection_file
from tests.fleets import eventually
from tests.journeys.daemons import MARK, OwnFleet, marked
from tests.journeys.leftovers import assert_nothing_left, take_stock

pytestmark = pytest.mark.slow

PROMISED_SECONDS = 2.0

STUBBORN = {
    "nothing": "",
    "a child": "import subprocess; child = subprocess.Popen(['sleep', '60'])",
    "a child in its own session": (
        "import subprocess; child = subprocess.Popen(['sleep', '60'], start_new_session=True)"
    ),
    "a daemon": "import subprocess; subprocess.run('setsid sleep 60 &', shell=True)",
    "a zombie": "import subprocess; child = subprocess.Popen(['true'])",
    "a multiprocessing resource tracker": (
        "from multiprocessing import shared_memory\n"
        "block = shared_memory.SharedMemory(create=True, size=100)\nblock.unlink()"
    ),
    "a child that ignores signals": (
        "import subprocess\n"
        "script = 'trap \"\" TERM INT HUP; while :; do sleep 1; done'\n"
        "child = subprocess.Popen(['sh', '-c', script])"
    ),
    "an engine that ignores signals": (
        "import signal\n"
        "for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
        "    signal.signal(signum, signal.SIG_IGN)"
    ),
    "an exit function that hangs": "import atexit, time; atexit.register(time.sleep, 60)",
    "a thread that does not end": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()"
    ),
}


@pytest.mark.parametrize("what", STUBBORN)
@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_a_fleet_stops_in_time_and_leaves_nothing(
    own_fleet: Callable[..., OwnFleet], transport: str, what: str
) -> None:
    before = take_stock()
    fleet = own_fleet(2, transport=transport)
    mec = fleet.client()
    mec.execute(STUBBORN[what], timeout=20)
    began = time.monotonic()
    fleet.stop()
    assert time.monotonic() - began < PROMISED_SECONDS
    mec.close()
    if fleet.process is not None and fleet.process.stdout is not None:
        fleet.process.stdout.close()
    assert not [process.cmdline() for process in fleet.processes()]
    assert_nothing_left(before)


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(60)", "while True: pass", "sum(range(10**11))"]
)
@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_a_fleet_at_work_stops_in_time_and_says_so_to_who_waits(
    own_fleet: Callable[..., OwnFleet], transport: str, code: str
) -> None:
    before = take_stock()
    fleet = own_fleet(2, transport=transport)
    mec = fleet.client()
    running = mec.execute(f"print('in', flush=True)\n{code}", block=False)
    queued = mec.execute("1", block=False)
    eventually(lambda: running.stdout == {0: "in\n", 1: "in\n"})
    began = time.monotonic()
    fleet.stop()
    assert time.monotonic() - began < PROMISED_SECONDS
    for pending in (running, queued):
        error = pending.exception(5)
        causes = getattr(error, "exceptions", [error])
        assert all(isinstance(each, FleetStopped | ControllerUnreachable) for each in causes), (
            causes
        )
    with pytest.raises(FleetError):
        mec.execute("1", timeout=5)
    mec.close()
    if fleet.process is not None and fleet.process.stdout is not None:
        fleet.process.stdout.close()
    assert_nothing_left(before)
    assert not fleet.processes()


def test_a_client_may_stop_the_fleet(own_fleet: Callable[..., OwnFleet]) -> None:
    fleet = own_fleet(2, transport="unix")
    mec, other = fleet.client(), fleet.client()
    began = time.monotonic()
    mec.stop_fleet()
    assert fleet.process is not None
    assert fleet.process.wait(20) == 0
    assert time.monotonic() - began < PROMISED_SECONDS
    assert not fleet.processes()
    assert not fleet.directory.exists()
    with pytest.raises(ControllerUnreachable, match="stopped"):
        other.execute("1", timeout=10)


def test_ten_fleets_one_after_the_other_leave_nothing() -> None:
    before = take_stock()
    for _ in range(5):
        with Fleet(n=1, env={MARK: "ten-fleets"}) as mec:
            mec.push({"x": b"x" * 1_000_000})
            assert len(mec.pull("x")[0]) == 1_000_000
    assert_nothing_left(before)
    assert not marked("ten-fleets")


def test_a_start_that_fails_leaves_nothing() -> None:
    before = take_stock()
    for wrong in ({"kernel": "no-such-kernel"}, {"on_start": "1/0"}, {"cwd": "/no/such/place"}):
        began = time.monotonic()
        with pytest.raises(StartError):
            Fleet(n=2, env={MARK: "failed-start"}, **wrong).start()  # type: ignore[arg-type]
        assert time.monotonic() - began < 10, wrong
    assert_nothing_left(before)
    assert not marked("failed-start")
    assert not [fleet for fleet in connection_file.find_fleets() if "embedded" in fleet.name]


def test_what_cannot_be_preloaded_ends_the_start_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("raise ValueError('its last line')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before = take_stock()
    for name, told in (
        ("no_such_module", "No module named 'no_such_module'"),
        ("broken_module", "cannot preload broken_module: ValueError: its last line"),
    ):
        with pytest.raises(StartError, match=told):
            Fleet(n=2, preload=["json", name], env={MARK: "failed-start"}).start()
    assert_nothing_left(before)
    assert not marked("failed-start")


def test_one_engine_that_cannot_start_ends_the_start_at_once() -> None:
    before = take_stock()
    began = time.monotonic()
    with pytest.raises(StartError, match="ZeroDivisionError"):
        Fleet(3, on_start="import time; time.sleep(600) if engine_id else 1 / 0").start()
    assert time.monotonic() - began < 15
    assert_nothing_left(before)


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "spawned"])
def test_a_start_that_is_interrupted_leaves_nothing(fork: bool) -> None:
    before = take_stock()
    moments = random.Random(1)
    main = threading.main_thread().ident
    assert main is not None
    for _ in range(6):
        patience = moments.uniform(0.0, 1.0 if fork else 2.0)
        ctrl_c = threading.Timer(patience, signal.pthread_kill, [main, signal.SIGINT])
        ctrl_c.start()
        with pytest.raises(KeyboardInterrupt), Fleet(3, fork=fork):
            ctrl_c.join()  # the fleet was faster
        assert_nothing_left(before)


class Pressed(KeyboardInterrupt):
    """What a handler of the user's own raises."""


#: Starts and stops fleets while a thread presses Ctrl-C several times; says what is left each time.
PRESSED = """
import gc, os, random, signal, sys, threading, time
import psutil
from kernelfleet import Fleet

def left():
    gc.collect()
    me = psutil.Process()
    threads = [each.name for each in threading.enumerate()]
    folder = os.environ["JUPYTER_RUNTIME_DIR"] + "/kernelfleet"
    return me.num_fds(), threads, [each.name() for each in me.children()], os.listdir(folder)

def keep_pressing(moments):
    for moment in moments:
        time.sleep(moment)
        os.kill(os.getpid(), signal.SIGINT)

where, fork = sys.argv[1], sys.argv[2] == "forked"
moments = random.Random(2)
with Fleet(1, fork=fork):
    pass
before = left()
for turn in range(6):
    fleet = Fleet(2, fork=fork)
    pauses = [moments.uniform(0.0, 0.4), *(moments.uniform(0.0, 0.1) for _ in range(3))]
    if where == "stop":
        fleet.start()
        pauses[0] = moments.uniform(0.0, 0.05)
    pressing = threading.Thread(target=keep_pressing, args=[pauses])
    try:
        try:
            pressing.start()
            fleet.start() if where == "start" else fleet.stop()
            while pressing.is_alive():
                time.sleep(0.01)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        pass
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pressing.join()
    if fleet.running:  # it was faster than the first Ctrl-C
        fleet.stop()
    del fleet, pressing
    for _ in range(100):
        if left() == before:
            break
        time.sleep(0.02)
    print("clean" if left() == before else left(), flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
"""


@pytest.mark.parametrize("where", ["start", "stop"])
@pytest.mark.parametrize("manner", ["forked", "spawned"])
def test_more_than_one_ctrl_c_breaks_off_neither_a_start_nor_a_stop(
    where: str, manner: str, tmp_path: Path
) -> None:
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path), MARK: f"pressed-{where}-{manner}"}
    done = subprocess.run(
        [sys.executable, "-c", PRESSED, where, manner],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["clean"] * 6
    assert list((tmp_path / "kernelfleet").iterdir()) == []
    assert not marked(env[MARK])


def _press_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have SIGINT come while the fleet ends, again and again, to a handler of the user's own."""
    main = threading.main_thread().ident
    assert main is not None
    end = FleetHost._stop

    async def pressed(host: FleetHost) -> None:
        signal.pthread_kill(main, signal.SIGINT)
        await asyncio.sleep(0.1)
        await end(host)

    monkeypatch.setattr(FleetHost, "_stop", pressed)
    # as whoever has a handler of his own is not waited for
    monkeypatch.setattr("kernelfleet.session.loop.CLEAN_UP_SECONDS", 0.01)


def test_an_end_that_was_broken_off_is_finished_by_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def own_handler(*_: object) -> None:
        raise Pressed

    before = take_stock()
    fleet = Fleet(2)
    mec = fleet.start()
    _press_at_the_end(monkeypatch)
    handler = signal.signal(signal.SIGINT, own_handler)
    try:
        with pytest.raises(Pressed):
            fleet.stop()
        assert not fleet.running
        with pytest.raises(FleetError, match="not running"):
            fleet.client()
    finally:
        signal.signal(signal.SIGINT, handler)
    fleet.stop()
    with pytest.raises(FleetError):
        mec.execute("1")
    del mec
    assert_nothing_left(before)


BROKEN_OFF = """
import os, signal, sys
from kernelfleet import Fleet
fleet = Fleet(2)
fleet.start()
import kernelfleet.session.loop, kernelfleet.controller.host as host, asyncio
kernelfleet.session.loop.CLEAN_UP_SECONDS = 0.01
end = host.FleetHost._stop
async def pressed(self):
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.2)
    await end(self)
host.FleetHost._stop = pressed
def own(*_):
    raise ZeroDivisionError
signal.signal(signal.SIGINT, own)
try:
    fleet.stop()
except ZeroDivisionError:
    print("broken off")
"""


def test_an_end_that_was_broken_off_is_finished_with_the_process(tmp_path: Path) -> None:
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path), MARK: "broken-off"}
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_OFF], env=env, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("broken off\n", "")
    assert list((tmp_path / "kernelfleet").iterdir()) == []
    eventually(lambda: not marked("broken-off"))


def test_ctrl_c_gives_up_connecting_to_a_controller_that_does_not_answer(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    fleet = own_fleet(1, transport="unix")
    assert fleet.process is not None
    before = take_stock()
    main = threading.main_thread().ident
    assert main is not None
    os.kill(fleet.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    timers = [threading.Timer(s, signal.pthread_kill, [main, signal.SIGINT]) for s in (0.3, 0.301)]
    for timer in timers:
        timer.start()
    with pytest.raises(KeyboardInterrupt):
        MultiEngineClient(fleet.name)
    for timer in timers:
        with contextlib.suppress(KeyboardInterrupt):
            timer.join()
    assert time.monotonic() - began < 5
    os.kill(fleet.process.pid, signal.SIGCONT)
    assert_nothing_left(before)


def test_ctrl_c_ends_a_daemon_that_is_being_started(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "kernelfleet"), "start", "-n1", "--daemonize"]
    command += ["--name", "given-up", "--on-start", "import time; time.sleep(60)"]
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path), MARK: "given-up"}
    start = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    eventually(lambda: len(marked("given-up")) >= 3)  # this one, the controller, an engine
    for _ in range(3):
        start.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, complaints = start.communicate(timeout=15)
    assert (start.returncode, complaints) == (130, "")
    assert list((tmp_path / "kernelfleet").iterdir()) == []
    eventually(lambda: not marked("given-up"), 2)
