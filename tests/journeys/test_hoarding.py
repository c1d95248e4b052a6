"""What a peer without keys can make a controller or a client hold, all such peers together.

libzmq receives a whole frame before it looks at a key. Once, one connection that announced
gigabytes ended a fleet in seconds, and so did whoever took a dead controller's port with its
clients.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.journeys.daemons import OwnFleet

MB = 2**20
#: "A few MiB": frames of 32 KiB and libzmq's buffers for 64 connections, and what malloc rounds.
BOUND_BYTES = 10 * MB
#: The Unix socket takes frames of 1 MiB, and only this user comes near it. Of 40 connections, 16
#: may stay; all may be there before a busy controller has cut the first.
UNIX_BOUND_BYTES = 48 * MB
HOARD = Path(__file__).with_name("hoard.py")


class Hoarder:
    """A process of peers without keys, and what it has sent."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HOARD), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def hoarder() -> Iterator[Callable[..., Hoarder]]:
    made: list[Hoarder] = []

    def hoarder(*arguments: object) -> Hoarder:
        made.append(Hoarder(*arguments))
        return made[-1]

    yield hoarder
    for each in made:
        each.end()


@pytest.fixture
def fleet(own_fleet: Callable[..., OwnFleet]) -> tuple[OwnFleet, dict[str, Any]]:
    fleet = own_fleet(1, transport="tcp")
    return fleet, json.loads((fleet.directory / "fleet.json").read_text())


def most_memory(process: psutil.Process, hoarder: Hoarder) -> tuple[int, int]:
    """The largest RSS until the hoarder has sent what it could, and how much that was."""
    most, done = 0, []
    waiting = threading.Thread(target=lambda: done.append(hoarder.line()))
    waiting.start()
    deadline = time.monotonic() + 60
    while waiting.is_alive() and time.monotonic() < deadline:
        most = max(most, process.memory_info().rss)
        time.sleep(0.005)
    waiting.join(10)
    assert done
    assert done[0].startswith("held ")
    return max(most, process.memory_info().rss), int(done[0].split()[1])


@pytest.mark.parametrize(
    ("connections", "mib"),
    [(2, 256), (150, 33_000 / MB)],
    ids=["two that announce much", "many of what is let in"],
)
def test_strangers_make_a_controller_hold_a_few_megabytes_over_tcp_and_disturb_nobody(
    fleet: tuple[OwnFleet, dict[str, Any]],
    hoarder: Callable[..., Hoarder],
    connections: int,
    mib: float,
) -> None:
    own, file = fleet
    port = file["tcp"].rpartition(":")[2]
    with own.client() as mec:
        mec.execute("1", timeout=20)
        controller = psutil.Process(file["pid"])
        before = controller.memory_info().rss
        most, taken = most_memory(
            controller, hoarder("connect", "tcp", port, "CURVE", connections, mib)
        )
        print(f"sent {taken / MB:.1f} MiB, held {(most - before) / MB:.1f} MiB")
        assert taken > 0
        assert most - before < BOUND_BYTES
        began = time.monotonic()
        assert mec.execute("1", timeout=20)[0]["id"] == 0
        with own.client() as newcomer:
            assert newcomer.execute("1", timeout=20)[0]["id"] == 0
        assert time.monotonic() - began < 5
        assert controller.memory_info().rss - before < BOUND_BYTES


@pytest.mark.parametrize("mechanism", ["PLAIN", "NULL"])
def test_a_process_of_this_user_without_the_key_makes_it_hold_little_at_the_unix_socket(
    fleet: tuple[OwnFleet, dict[str, Any]], hoarder: Callable[..., Hoarder], mechanism: str
) -> None:
    own, file = fleet
    path = file["ipc"].removeprefix("ipc://")
    controller = psutil.Process(file["pid"])
    before = controller.memory_info().rss
    for connections, mib in ((2, 256), (40, 1)):
        most, taken = most_memory(
            controller, hoarder("connect", "unix", path, mechanism, connections, mib)
        )
        print(f"sent {taken / MB:.1f} MiB, held {(most - before) / MB:.1f} MiB")
        assert most - before < UNIX_BOUND_BYTES
    with own.client() as mec:
        assert mec.execute("1", timeout=20)[0]["id"] == 0


def test_an_impostor_at_a_dead_controllers_port_makes_a_client_hold_little(
    fleet: tuple[OwnFleet, dict[str, Any]], hoarder: Callable[..., Hoarder]
) -> None:
    own, file = fleet
    this = psutil.Process()
    with own.client() as mec:
        assert mec.execute("1", timeout=20)[0]["id"] == 0
        psutil.Process(file["pid"]).send_signal(signal.SIGKILL)
        impostor = hoarder("impostor", file["tcp"].rpartition(":")[2], "CURVE", 1, 256)
        assert impostor.line() == "listening"
        before = this.memory_info().rss
        most, taken = most_memory(this, impostor)
        print(f"sent {taken / MB:.1f} MiB, held {(most - before) / MB:.1f} MiB")
        assert taken > 0  # the client came
        assert most - before < BOUND_BYTES
        impostor.end()
