"""However the user's process ends, its embedded fleet ends with it, and quietly where it can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from kernelfleet.wire.files import fleet_directory
from tests.fleets import eventually
from tests.journeys.daemons import MARK, OwnFleet, marked
from tests.journeys.leftovers import runtime_files

pytestmark = pytest.mark.slow

PROMISED_END = 5.0


class Script:
    """A Python process of its own, with all that descends from it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        self.process: subprocess.Popen[str] | None = None

    def start(self, code: str) -> subprocess.Popen[str]:
        path = self.folder / "script.py"
        path.write_text(code)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, MARK: self.mark},
        )
        return self.process

    def run(self, code: str, timeout: float = 30) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        process = self.start(code)
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    def wait_for_line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the script has ended"
        return line

    @property
    def is_gone(self) -> bool:
        return not marked(self.mark)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    script = Script(tmp_path)
    yield script
    for process in marked(script.mark):
        process.kill()
    if script.process is not None:
        script.process.communicate(timeout=10)


WORK = {
    "idle": "pass",
    "holding the GIL": "sum(range(10**11))",
    "with children": "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)",
}
ENDS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "told to end": "os.kill(os.getpid(), signal.SIGTERM)",
    "hung up": "os.kill(os.getpid(), signal.SIGHUP)",
    "aborted": "os.abort()",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "os._exit": "os._exit(3)",
}


@pytest.mark.parametrize(
    ("end", "fork"), [*((end, True) for end in ENDS), ("killed", False), ("segfault", False)]
)
@pytest.mark.parametrize("work", WORK)
def test_nothing_is_left_of_an_embedded_fleet_whose_process_dies(
    script: Script, fork: bool, work: str, end: str
) -> None:
    code = f"""
import os, signal, sys, time
from kernelfleet import Fleet
mec = Fleet(2, fork={fork}).start()
started = mec.execute("print('in', flush=True)\\n" + {WORK[work]!r}, block=False)
while started.stdout != {{0: 'in\\n', 1: 'in\\n'}}: time.sleep(0.01)
print('ready', flush=True)
sys.stdin.read()
"""
    before = runtime_files()
    process = script.start(code.replace("sys.stdin.read()", ENDS[end]))
    script.wait_for_line()
    began = time.monotonic()
    process.wait(20)
    eventually(lambda: script.is_gone, PROMISED_END)
    print(f"gone after {time.monotonic() - began:.2f} s")
    fleet_directory.remove_stale()
    assert runtime_files() == before


@pytest.mark.parametrize(
    "ending",
    ["", "raise SystemExit(3)", "1/0", "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"],
    ids=["end", "exit", "error", "Ctrl-C"],
)
@pytest.mark.parametrize(
    "work",
    [
        "",
        "pending = mec.execute('import time; time.sleep(600)', block=False)",
        "pending = mec.map(time.sleep, [600] * 20, block=False)",
        # what was submitted is done first, as with the pools of the standard library
        "executor = mec.executor(); tasks = [executor.submit(time.sleep, 0.5) for _ in range(9)]",
        "threading.Thread(target=mec.execute, args=['import time; time.sleep(600)'], daemon=True)"
        ".start()",
        # (A lazy map hands out a few items and waits to be asked for more: they must take a while.)
        "values = mec.imap(time.sleep, [0.3] * 1000); next(values)",
    ],
    ids=["nothing", "a pending result", "a map", "an executor", "a thread that waits", "an imap"],
)
@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_an_interpreter_that_ends_says_nothing_and_leaves_nothing(
    script: Script, own_fleet: Callable[..., OwnFleet], work: str, ending: str, transport: str
) -> None:
    start = "fleet = Fleet(2); mec = fleet.start()"
    fleet = None
    if transport != "embedded":
        fleet = own_fleet(2, transport=transport)
        start = f"mec = MultiEngineClient({fleet.name!r})"
    code = f"""
import os, signal, threading, time
from kernelfleet import Fleet, MultiEngineClient
{start}
{work}
while {bool(work)} and not all(status['pending'] for _, status in mec.queue_status()):
    time.sleep(0.01)
{ending}
"""
    began = time.monotonic()
    exit_code, out, err = script.run(code)
    assert out == ""
    lines = err.splitlines()
    if ending == "1/0":
        assert (exit_code, lines[-1]) == (1, "ZeroDivisionError: division by zero")
    elif "SIGINT" in ending:
        if "executor" in work and lines[-1].startswith("kernelfleet: interrupted, so "):
            lines.pop()  # says how many of its tasks are not done
        assert (exit_code, lines[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
    else:
        assert (exit_code, err) == (3 if ending else 0, "")
    assert err.count("Traceback") == (1 if err else 0), err
    assert script.is_gone
    assert time.monotonic() - began < 15
    if fleet is not None:
        assert fleet.client().get_ids() == [0, 1]


IN_A_NOTEBOOK = """
%load_ext kernelfleet
%fleet start -n 2
pending = mec.execute('print(1, flush=True)\\n' + {work!r}, block=False)
import time
while pending.stdout != {{0: '1\\n', 1: '1\\n'}}: time.sleep(0.01)
"""
HOW = ["restart", "restart now", "shutdown", "shutdown now", "kill", "interrupt and restart"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("work", ["idle", "holding the GIL"])
def test_the_fleet_of_a_notebook_ends_when_its_kernel_is_restarted(how: str, work: str) -> None:
    mark = uuid.uuid4().hex
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, MARK: mark})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        code = IN_A_NOTEBOOK.format(work=WORK[work])
        reply = client.execute_interactive(code, timeout=60, output_hook=lambda message: None)
        assert reply["content"]["status"] == "ok", reply["content"]
        kernel = {process.pid for process in marked(mark)}
        assert len(kernel) >= 4
        began = time.monotonic()
        if how == "interrupt and restart":
            manager.interrupt_kernel()
            manager.restart_kernel()
        elif how.startswith("restart"):
            manager.restart_kernel(now=how.endswith("now"))
        elif how.startswith("shutdown"):
            manager.shutdown_kernel(now=how.endswith("now"))
        else:
            manager.signal_kernel(signal.SIGKILL)
        eventually(lambda: not kernel & {process.pid for process in marked(mark)}, PROMISED_END)
        print(f"gone after {time.monotonic() - began:.2f} s")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        for process in marked(mark):
            process.kill()
