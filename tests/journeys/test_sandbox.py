"""A system that shows no processes (no /proc), or whose sandbox refuses calls (seccomp).

Fleets do without what is not there, and say nothing of it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from kernelfleet.controller.processes.local import has_ended
from tests.fleets import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="made of Linux's own means")

#: Uses a fleet and prints what came of it.
WORK = """
import sys, time
from kernelfleet import CompositeError, Fleet
with Fleet(2, fork=sys.argv[1] == "forked") as mec:
    print(mec.execute("6 * 7")[0].value, [engine.state for engine in mec.engines()])
    mec.push({"x": b"x" * 2_000_000})
    print([len(x) for x in mec.pull("x")])
    mec.restart(0)
    try:
        mec.execute("import os; os._exit(3)", targets=1)
    except CompositeError as error:
        print(error.exceptions[0])
    mec.execute("import subprocess; child = subprocess.Popen(['sleep', '600'])", targets=0)
    child = mec.execute("child.pid", targets=0)[0].value
    begun = time.monotonic()
print("stopped", time.monotonic() - begun < 3)
print("child", child)
"""
EXPECTED = [
    "42 ['idle', 'idle']",
    "[2000000, 2000000]",
    "stopped True",
]

#: Has the kernel refuse system calls with EPERM from now on, here and in all children.
REFUSE = """
import ctypes, struct, sys
numbers = [int(number) for number in sys.argv[2].split(",")]
LOAD, EQUAL, RETURN, ALLOW, EPERM = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050001
steps = [struct.pack("HBBI", LOAD, 0, 0, 0)]
for number in numbers:
    steps += [struct.pack("HBBI", EQUAL, 0, 1, number), struct.pack("HBBI", RETURN, 0, 0, EPERM)]
steps.append(struct.pack("HBBI", RETURN, 0, 0, ALLOW))
code = ctypes.create_string_buffer(b"".join(steps))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
"""

PIDFD_OPEN, PIDFD_SEND_SIGNAL = 434, 424
MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}.get(platform.machine(), 0)


def run(folder: Path, command: list[str]) -> tuple[list[str], str]:
    """What a program says, and what it says on standard error."""
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(folder / "r")}
    (folder / "r").mkdir(mode=0o700)
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert list((folder / "r" / "kernelfleet").iterdir()) == []
    return done.stdout.splitlines(), done.stderr


def check(lines: list[str], complaints: str) -> None:
    assert complaints == ""
    (died,) = [line for line in lines if line.startswith("engine 1")]
    assert "died" in died
    child = int(lines.pop().removeprefix("child "))
    eventually(lambda: has_ended(child), 5)
    assert [line for line in lines if line != died] == EXPECTED


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param([PIDFD_OPEN], id="pidfd_open"),
        pytest.param([PIDFD_SEND_SIGNAL], id="pidfd_send_signal", marks=pytest.mark.slow),
        pytest.param(
            [PIDFD_OPEN, PIDFD_SEND_SIGNAL, MEMFD_CREATE], id="all of them", marks=pytest.mark.slow
        ),
    ],
)
def test_a_fleet_does_without_what_a_sandbox_refuses(tmp_path: Path, refused: list[int]) -> None:
    numbers = ",".join(map(str, refused))
    check(*run(tmp_path, [sys.executable, "-c", REFUSE + WORK, "forked", numbers]))


def can_hide_processes() -> bool:
    command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("manner", ["forked", pytest.param("ordinary", marks=pytest.mark.slow)])
def test_a_fleet_works_and_stops_where_no_process_is_seen(tmp_path: Path, manner: str) -> None:
    if not can_hide_processes():
        pytest.skip("/proc can be hidden by root alone")
    script = tmp_path / "work.py"
    script.write_text(WORK)
    hidden = 'mount -t tmpfs none /proc && exec "$@"'
    python = [sys.executable, str(script), manner]
    check(*run(tmp_path, ["unshare", "-m", "sh", "-c", hidden, "sh", *python]))
