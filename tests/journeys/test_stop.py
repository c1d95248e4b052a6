"""A fleet stops within two seconds, whatever its engines do, and leaves nothing behind."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet import Fleet
from kernelfleet.errors import ControllerUnreachable, FleetError, FleetStopped, StartError
from kernelfleet.wire import connection
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
    assert not [fleet for fleet in connection.find_fleets() if "embedded" in fleet.name]


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
