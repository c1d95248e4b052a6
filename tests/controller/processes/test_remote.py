"""Engines of other machines: no number of theirs is believed, and they end all the same."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from kernelfleet import Fleet
from kernelfleet.controller import timing
from kernelfleet.controller.processes import remote
from tests.conftest import HOME
from tests.controller.far import NAME, FarProcess, far_provisioner
from tests.fleets import eventually


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process, leader of its group, that has nothing to do with any fleet."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def far() -> str:
    """A kernelspec whose provisioner is of another machine."""
    folder = HOME / "data" / "kernels" / "far"
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Far away",
        "language": "python",
        "metadata": {"kernel_provisioner": {"provisioner_name": NAME}},
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    return "far"


def test_a_foreign_pid_is_nobodys_and_the_stranger_of_that_number_lives_on(
    far: str, stranger: subprocess.Popen[bytes]
) -> None:
    with far_provisioner(stranger.pid) as provisioner:
        with Fleet(n=1, kernel=far) as mec:
            assert mec.execute("6 * 7", timeout=30).values() == [42]
            assert mec.engines()[0].pid is None
            assert mec.engines()[0].memory_bytes is None  # it would be the stranger's
            running = mec.execute("import time; time.sleep(60)", block=False)
            eventually(running.running)
            mec.interrupt(timeout=20)
            assert "SIGINT" in provisioner.said
            mec.restart(timeout=30)
            assert mec.execute("6 * 7", timeout=30).values() == [42]
            assert stranger.poll() is None
        assert stranger.poll() is None


def test_the_death_of_an_engine_elsewhere_is_the_provisioners_word(
    far: str, stranger: subprocess.Popen[bytes]
) -> None:
    with far_provisioner(stranger.pid), Fleet(n=1, kernel=far) as mec:
        lost = mec.execute("import os; os._exit(7)", block=False)
        with pytest.raises(ExceptionGroup, match="one or more"):
            lost.result(20)
        assert mec.get_ids() == []
        assert stranger.poll() is None


@pytest.mark.slow
def test_an_engine_elsewhere_is_given_time_then_terminated_then_killed(
    far: str, stranger: subprocess.Popen[bytes]
) -> None:
    with far_provisioner(stranger.pid, stubborn=True) as provisioner:
        fleet = Fleet(n=1, kernel=far)
        fleet.start()
        began = time.monotonic()
        fleet.stop()
        took = time.monotonic() - began
        assert provisioner.said[:2] == ["terminate", "kill"]
    assert timing.REMOTE_POLITE_SECONDS < took < 15
    assert stranger.poll() is None


class _Provisioner:
    """What ``end`` needs, and what becomes of it."""

    def __init__(self, ends_at: str | None = None) -> None:
        self.said: list[str] = []
        self._ends_at = ends_at

    async def poll(self) -> int | None:
        if self._ends_at == "broken":
            raise RuntimeError("the cluster does not answer")
        return 0 if self._ends_at in ("asked", *self.said) else None

    async def terminate(self) -> None:
        self.said.append("terminate")
        if self._ends_at == "broken":
            raise RuntimeError("the cluster does not answer")

    async def kill(self) -> None:
        self.said.append("kill")


@pytest.mark.parametrize(
    ("ends_at", "said"),
    [
        ("asked", []),
        ("terminate", ["terminate"]),
        ("kill", ["terminate", "kill"]),
        ("broken", ["terminate", "kill"]),
    ],
)
def test_no_more_is_said_than_needed_and_a_broken_provisioner_is_no_hang(
    ends_at: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REMOTE_POLITE_SECONDS", 0.05)
    monkeypatch.setattr(remote, "REMOTE_TERMINATE_SECONDS", 0.05)
    monkeypatch.setattr(remote, "POLL_SECONDS", 0.01)
    provisioner = _Provisioner(ends_at)
    asyncio.run(asyncio.wait_for(remote.end(provisioner, politely=True), 10))
    assert provisioner.said == said


def test_a_provisioner_that_never_answers_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 0.05)

    class Silent:
        async def poll(self) -> None:
            await asyncio.sleep(3600)

    assert asyncio.run(asyncio.wait_for(remote.exit_code(Silent()), 10)) is None


def _with(process: Any, pid: int) -> LocalProvisioner:
    provisioner = LocalProvisioner()
    provisioner.process, provisioner.pid = process, pid
    return provisioner


def test_only_a_process_known_to_be_of_this_machine_has_a_pid(
    stranger: subprocess.Popen[bytes],
) -> None:
    class Remote:  # derived from KernelProvisionerBase, not from the local one
        process, pid = stranger, stranger.pid

    assert remote.local_pid(_with(stranger, stranger.pid)) == stranger.pid
    assert remote.local_pid(_with(stranger, 1)) is None  # ssh here, the kernel there
    assert remote.local_pid(_with(FarProcess(stranger, stranger.pid), stranger.pid)) is None
    assert remote.local_pid(Remote()) is None
    assert remote.local_pid(None) is None
