"""The wall clock jumps by days, to and fro, in every process: no wait, limit or order heeds it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CallTimeout, CompositeError
from tests.fleets import eventually

pytestmark = pytest.mark.slow

DAY = 86_400.0

JUMPING = f"""
import random as _random, time as _time
def _jumping(now=_time.time, jumps=_random.Random(7)):
    return now() + jumps.uniform(-{DAY}, {DAY})
_time.time = _jumping
_time.time_ns = lambda: int(_jumping() * 1e9)
"""

DAEMON = (
    JUMPING
    + """
import json, sys
from kernelfleet.controller.daemon import run_daemon
from kernelfleet.controller.options import FleetOptions
options = FleetOptions.of(**json.loads(sys.argv[1]))
run_daemon(options, lambda fleet: print(fleet.name, flush=True))
"""
)


def test_no_wait_and_no_limit_heeds_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now, jumps = time.time, random.Random(8)
    monkeypatch.setattr(time, "time", lambda: now() + jumps.uniform(-DAY, DAY))
    options = {"n": 2, "name": "clock", "on_start": JUMPING, "restart": "on-death"}
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, json.dumps(options)], stdout=subprocess.PIPE, text=True
    )
    assert daemon.stdout is not None
    try:
        assert daemon.stdout.readline().strip() == "clock"
        with MultiEngineClient("clock") as mec:
            work(mec)
            mec.stop_fleet()
        assert daemon.wait(10) == 0
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()


def work(mec: MultiEngineClient) -> None:
    began = time.monotonic()
    for i in range(20):
        assert mec.execute(f"print({i})", timeout=10)[0]["stdout"] == f"{i}\n"
    mec.push({"x": bytes(3_000_000)}, timeout=10)
    assert len(mec.pull("x", timeout=10)[0]) == 3_000_000
    assert mec.map(lambda x: x * x, range(5000), timeout=20) == [x * x for x in range(5000)]
    with pytest.raises(CallTimeout):
        mec.execute("import time; time.sleep(1)", timeout=0.2)
    with pytest.raises(CallTimeout):
        mec.map(time.sleep, [1, 1], timeout=0.2)
    mec.execute("1", timeout=20)

    for _ in range(10):
        busy = mec.execute("while True: pass", block=False)
        while not all(status["pending"] for _, status in mec.queue_status()):
            pass
        mec.interrupt()
        with pytest.raises(CompositeError) as interrupted:
            busy.result(10)
        assert str(interrupted.value).count("KeyboardInterrupt") >= 2

    with mec.executor() as executor:
        limited = executor.submit_task(time.sleep, [60], timeout=0.3)
        assert isinstance(limited.exception(10), TimeoutError)
        assert executor.submit(abs, -3).result(10) == 3

    before = mec.engines()[0].pid
    mec.execute("import os; os._exit(1)", targets=0, block=False)
    eventually(lambda: mec.engines()[0].state == "idle" and mec.engines()[0].pid != before, 20)
    mec.restart(timeout=30)
    assert mec.apply(lambda: 1, timeout=20) == [1, 1]
    mec.scale(3)
    mec.scale(2)
    assert time.monotonic() - began < 50
