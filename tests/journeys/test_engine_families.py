"""What an engine has started ends with it, however far it has gone: no orphan is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from kernelfleet import MultiEngineClient
from tests.conftest import HOME
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet
from tests.journeys.leash import Leash
from tests.journeys.manners import IN_EVERY_MANNER
from tests.nodes import node_processes
from tests.provisioners.mpi.launching import MPIEXEC

#: From the end of an engine to the end of what it has started.
PROMISED_SECONDS = 2.0

FAMILIES = {
    "a child": "import subprocess; child = subprocess.Popen(command)",
    "a child in its own session": (
        "import subprocess; child = subprocess.Popen(command, start_new_session=True)"
    ),
    "a daemon of the shell": (
        "import shlex, subprocess\n"
        "subprocess.run(f'setsid {shlex.join(command)} &', shell=True, check=True)"
    ),
    "a forked child": "import os\nif os.fork() == 0:\n    exec(code)",
    "a daemon that was forked twice": (
        "import os\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        exec(code)\n"
        "    os._exit(0)\n"
        "os.wait()"
    ),
    "a process of multiprocessing": (
        "import multiprocessing\n"
        "context = multiprocessing.get_context('fork')\n"
        "child = context.Process(target=exec, args=[code])\n"
        "child.start()"
    ),
}


@pytest.fixture
def leash() -> Iterator[Leash]:
    leash = Leash(HOME)
    yield leash
    leash.close()


def start_family(mec: MultiEngineClient, leash: Leash, family: str, targets: int = 0) -> None:
    mec.push({"command": leash.command, "code": leash.code}, targets=targets)
    mec.execute(FAMILIES[family], targets=targets, timeout=20)
    leash.taken()


def end_by_killing(fleet: OwnFleet, mec: MultiEngineClient) -> None:
    pid = mec.engines()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: 0 not in mec.get_ids())


ENDS: dict[str, Callable[[OwnFleet, MultiEngineClient], object]] = {
    "killed": end_by_killing,
    "restarted": lambda fleet, mec: mec.restart(0, timeout=30),
    "stopped with its fleet": lambda fleet, mec: fleet.stop(),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("fork", [True, False], ids=["forked", "ordinary"])
@pytest.mark.slow
def test_a_family_ends_with_its_engine_and_the_other_engines_family_does_not(
    own_fleet: Callable[..., OwnFleet], leash: Leash, family: str, end: str, fork: bool
) -> None:
    fleet = own_fleet(2, transport="embedded", fork=fork)
    # Another one of the same process: it keeps the fork server, and its engine its family.
    own_fleet(1, transport="embedded", fork=fork)
    mec = fleet.client()
    others = Leash(HOME)
    start_family(mec, others, family, targets=1)
    start_family(mec, leash, family)
    began = time.monotonic()
    ENDS[end](fleet, mec)
    assert leash.is_dropped(PROMISED_SECONDS)
    assert time.monotonic() - began < 2 * PROMISED_SECONDS
    assert others.is_dropped(0.2) == (end == "stopped with its fleet")
    fleet.stop()
    assert others.is_dropped(PROMISED_SECONDS)
    others.close()


@IN_EVERY_MANNER
def test_a_daemon_ends_with_the_engine_that_was_killed(
    own_fleet: Callable[..., OwnFleet], leash: Leash, transport: str, fork: bool
) -> None:
    fleet = own_fleet(1, transport=transport, fork=fork)
    mec = fleet.client()
    start_family(mec, leash, "a daemon of the shell")
    end_by_killing(fleet, mec)
    assert leash.is_dropped(PROMISED_SECONDS)


@pytest.mark.parametrize("family", ["a daemon of the shell", "a daemon that was forked twice"])
@pytest.mark.parametrize(
    "options",
    [{}, {"fork": False}, {"kernel": "python3"}, {"mpiexec": MPIEXEC}],
    ids=["forked", "ordinary", "of another kernelspec", "a rank of MPI"],
)
@pytest.mark.slow
def test_a_daemon_ends_with_a_controller_that_was_killed(
    own_fleet: Callable[..., OwnFleet], leash: Leash, family: str, options: dict[str, object]
) -> None:
    """The fork server has taken the daemon in, or the nanny knows its tag."""
    fleet = own_fleet(1, transport="unix", **options)
    start_family(fleet.client(), leash, family)
    fleet.kill()
    assert leash.is_dropped(5.0)


@pytest.mark.slow
def test_a_daemon_ends_with_a_controller_that_was_killed_after_its_fork_server(
    own_fleet: Callable[..., OwnFleet], leash: Leash
) -> None:
    fleet = own_fleet(1, transport="unix")
    start_family(fleet.client(), leash, "a daemon that was forked twice")
    assert fleet.process is not None
    (fork_server,) = psutil.Process(fleet.process.pid).children()
    fork_server.kill()
    eventually(lambda: fork_server.status() == psutil.STATUS_ZOMBIE)
    fleet.kill()
    assert leash.is_dropped(5.0)


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "ordinary"])
@pytest.mark.slow
def test_a_daemon_ends_with_the_controller_of_a_node_that_was_killed(
    own_fleet: Callable[..., OwnFleet], leash: Leash, fork: bool
) -> None:
    fleet = own_fleet(2, transport="nodes", fork=fork)
    start_family(fleet.client(), leash, "a daemon of the shell")
    for node in node_processes():
        node.kill()
    assert leash.is_dropped(5.0)
