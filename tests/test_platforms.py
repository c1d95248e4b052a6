"""Other platforms, as far as Linux can play them (tests/otherwise): imports, and whole fleets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.journeys.daemons import MARK, marked

OTHERWISE = Path(__file__).parent / "otherwise"


#: Packages that come with extras only, and are hidden: their own code for a platform may need
#: further packages there, and is not ours. Modules of ours that need them are passed over.
BY_EXTRAS = ("anyio", "distributed", "joblib", "jupyter_server", "mcp", "pydantic", "pytest")

IMPORT_ALL = """
import importlib, os, pkgutil, sys
import kernelfleet
sys.modules.update(dict.fromkeys(sys.argv[1:]))  # (None: cannot be imported)
# To look into a package means to import it; one that needs an extra is named all the same.
names = [each.name for each in pkgutil.walk_packages(kernelfleet.__path__, "kernelfleet.")]
for name in names:
    if name.endswith(("__main__", "launch.safely")):  # these are scripts
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # it needs what an extra brings
        if error.name.partition(".")[0] not in sys.argv[1:]:
            raise
gone = [name for name in ("fork", "pidfd_open", "memfd_create") if not hasattr(os, name)]
print(sys.platform, len(names), *gone)
"""

FLEET = """
import os, sys, time
from kernelfleet import CompositeError, EngineDied, Fleet, MultiEngineClient
from tests.fleets import eventually

def use(mec):
    assert sorted(mec.get_ids()) == [0, 1]
    assert [engine.transport for engine in mec.engines()] == [sys.argv[2]] * 2
    mec.execute("import os, sys; print(sys.platform, os.getppid())")
    large = bytes(range(256)) * 12_000  # would be a block where there is shared memory
    mec.push({"large": large, "x": 3})
    assert mec.pull("large") == [large, large]
    assert mec.map(lambda i: i * i, range(100)) == [i * i for i in range(100)]
    assert mec.execute("await __import__('asyncio').sleep(0.01, engine_id)")[1]["id"] == 1

    def busy():
        return [engine.state for engine in mec.engines()] == ["busy", "busy"]

    pending = mec.execute("import time; time.sleep(60)", block=False)
    eventually(busy)
    mec.interrupt()
    try:
        pending.result(10)
    except CompositeError as error:
        assert [each.ename for each in error.exceptions] == ["KeyboardInterrupt"] * 2
    assert mec.pull("x") == [3, 3]

    pending = mec.execute("import time; time.sleep(60)", block=False)
    eventually(busy)
    began = time.monotonic()
    os.kill(mec.engines()[0].pid, 9)
    mec.interrupt(targets=1)
    try:
        pending.result(10)
    except CompositeError as error:
        died = [each for each in error.exceptions if isinstance(each, EngineDied)]
        assert [(each.engine_id, each.signal) for each in died] == [(0, 9)]
    print("a death was seen after", round(time.monotonic() - began, 2))
    assert time.monotonic() - began < 1.0
    mec.restart(0)
    assert mec.execute("1 + 1", targets=0)[0]["id"] == 0

if sys.argv[1] == "embedded":
    with Fleet(2) as mec:
        use(mec)
else:
    with MultiEngineClient("otherwise") as mec:
        use(mec)
print("done")
"""


def environment(platform: str, mark: str = "none") -> dict[str, str]:
    path = [str(OTHERWISE), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "KERNELFLEET_TEST_PLATFORM": platform,
        MARK: mark,
    }


def run(platform: str, mark: str, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env=environment(platform, mark),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_every_module_can_be_imported_on_another_platform(platform: str) -> None:
    name, count, *gone = run(platform, "none", "-c", IMPORT_ALL, *BY_EXTRAS).split()
    assert name == platform
    assert int(count) > 80
    assert gone[-2:] == ["pidfd_open", "memfd_create"]
    assert ("fork" in gone) == (platform == "win32")


#: Platform as simulated, and how its controller talks to the engines.
ELSEWHERE = [("darwin", "ipc"), ("win32-choices", "tcp+curve")]


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "transport"), ELSEWHERE)
def test_an_embedded_fleet_works_on_another_platform(platform: str, transport: str) -> None:
    mark = f"{platform}-embedded"
    assert run(platform, mark, "-c", FLEET, "embedded", transport).endswith("done\n")
    assert marked(mark) == []


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "transport"), ELSEWHERE)
def test_a_daemon_works_on_another_platform(platform: str, transport: str) -> None:
    mark = f"{platform}-daemon"
    command = ["-m", "kernelfleet.cli", "start", "-n", "2", "--name", "otherwise"]
    with subprocess.Popen(
        [sys.executable, *command],
        env=environment(platform, mark),
        stdout=subprocess.PIPE,
        text=True,
    ) as daemon:
        try:
            assert daemon.stdout is not None
            assert "is ready" in daemon.stdout.readline()
            assert has_unix_socket(daemon.pid) == (platform == "darwin")
            assert run(platform, mark, "-c", FLEET, "daemon", transport).endswith("done\n")
            assert "is stopped" in run(platform, mark, "-m", "kernelfleet.cli", "stop", "otherwise")
            assert daemon.wait(20) == 0
        finally:
            daemon.kill()
    assert marked(mark) == []


def has_unix_socket(pid: int) -> bool:
    """Whether a process listens on one with a name."""
    return any(each.laddr for each in psutil.Process(pid).net_connections("unix"))
