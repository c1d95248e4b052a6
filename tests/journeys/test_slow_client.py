"""Clients that ask and do not read: the controller's memory is bounded, others are served."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.results.replies import Reply
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet
from tests.journeys.raw import RawClient

MB = 1024 * 1024
LIMITS = {"unread_bytes": 64 * MB, "credit_bytes": 16 * MB}
StartOwn = Callable[..., OwnFleet]


def held_bytes(process: psutil.Process) -> int:
    """Memory of the controller, and what it keeps in blocks though it may not be mapped."""
    blocks: dict[int, int] = {}
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            if os.readlink(fd).startswith("/memfd:"):
                info = os.stat(fd)
                blocks[info.st_ino] = info.st_blocks * 512
        except OSError:
            continue
    memory = process.memory_full_info()
    return int(memory.uss) + sum(blocks.values())


def latency(mec: MultiEngineClient) -> float:
    """The median time of a small call."""

    def once() -> float:
        began = time.perf_counter()
        mec.execute("1", targets=1, timeout=20)
        return time.perf_counter() - began

    return statistics.median(once() for _ in range(15))


def wait_until_done(mec: MultiEngineClient) -> None:
    idle = [[0, {"queue": [], "pending": None}]]
    eventually(lambda: [list(row) for row in mec.queue_status(targets=0)] == idle, 60)


@pytest.mark.parametrize(
    ("size", "count"), [(16 * MB, 25), pytest.param(100 * MB, 40, marks=pytest.mark.slow)]
)
def test_a_client_that_pulls_and_never_reads_is_given_a_bounded_amount(
    own_fleet: StartOwn, size: int, count: int
) -> None:
    own = own_fleet(2, limits=LIMITS)
    mec = own.client()
    mec.execute(f"import numpy; data = numpy.ones({size}, 'u1')", targets=0)
    assert own.process is not None
    controller = psutil.Process(own.process.pid)
    usual, before = latency(mec), held_bytes(controller)
    with RawClient(own.name) as raw:
        pull = {"operation": "pull", "targets": [0], "content": {"names": ["data"]}}
        for _ in range(count):
            raw.ask(pull)
        while_it_does_not_read = latency(mec)
        wait_until_done(mec)
        grown = held_bytes(controller) - before
        # What waits, the one it is given, and the one with which the limit was passed.
        assert grown < LIMITS["unread_bytes"] + 2 * size + 16 * MB, f"{grown / MB:.0f} MB"
        assert grown > size
        assert while_it_does_not_read < 5 * usual + 0.1
        replies = raw.read_replies(count)
        whole = [header for header, _ in replies.values() if "results" in header]
        dropped = [header for header, _ in replies.values() if "refused" in header]
        assert len(whole) + len(dropped) == count
        assert len(whole) >= LIMITS["unread_bytes"] // size
        for header, buffers in replies.values():
            if "results" in header:
                assert sum(map(len, buffers)) > size
            else:
                assert "does not read" in header["refused"]["evalue"]
                assert not buffers
        again = raw.ask(pull)  # it reads again, and is served again
        assert "results" in raw.read_replies(1)[again][0]


@pytest.mark.slow
def test_a_client_that_prints_a_gigabyte_and_never_looks_misses_output_but_no_answer(
    own_fleet: StartOwn,
) -> None:
    own = own_fleet(2, limits=LIMITS)
    mec = own.client()
    assert own.process is not None
    controller = psutil.Process(own.process.pid)
    usual, before = latency(mec), held_bytes(controller)
    with RawClient(own.name) as raw:
        code = "for _ in range(300): print('x' * 50_000)"
        count = 70  # 15 MB each
        for _ in range(count):
            raw.ask(
                {"operation": "execute", "targets": [0], "content": {"code": code}, "stream": True}
            )
        while_it_does_not_read = latency(mec)
        wait_until_done(mec)
        grown = held_bytes(controller) - before
        assert grown < 4 * LIMITS["unread_bytes"], f"{grown / MB:.0f} MB"
        assert while_it_does_not_read < 10 * usual + 0.1
        replies = raw.read_replies(count)
        whole = [Reply(*reply) for reply in replies.values() if "results" in reply[0]]
        assert whole
        for reply in whole:
            (part,) = reply.parts()
            assert len(part.outputs.stdout) == 300 * 50_001
        assert all("refused" in header or "results" in header for header, _ in replies.values())
        assert mec.execute("1", timeout=20).values() == [1, 1]


CLIENT = """
import sys
from kernelfleet import FleetError, MultiEngineClient
with MultiEngineClient(sys.argv[1]) as mec:
    pending = [mec.pull('data', targets=0, block=False) for _ in range(30)]
    print('asked', flush=True)
    whole = dropped = 0
    for each in pending:
        try:
            assert len(each.result(30)[0]) == {size}
            whole += 1
        except FleetError as error:
            assert 'does not read' in str(error), error
            dropped += 1
    print(whole, dropped, mec.execute('7', targets=0, timeout=20)[0].value, flush=True)
"""


@pytest.mark.slow
def test_a_stopped_client_goes_on_with_what_there_was_room_for_and_is_told_of_the_rest(
    own_fleet: StartOwn, gate: Gate
) -> None:
    size = 8 * MB
    own = own_fleet(2, limits=LIMITS)
    mec = own.client()
    mec.execute(f"import numpy; data = numpy.ones({size}, 'u1')", targets=0)
    mec.execute(gate.code, targets=0, block=False)
    gate.entered()
    assert own.process is not None
    controller = psutil.Process(own.process.pid)
    before = held_bytes(controller)
    command = [sys.executable, "-c", CLIENT.replace("{size}", str(size)), own.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        try:
            assert client.stdout.readline() == "asked\n"
            eventually(lambda: len(mec.queue_status(targets=0)[0][1]["queue"]) == 30)
            client.send_signal(signal.SIGSTOP)
            gate.open()
            wait_until_done(mec)
            assert held_bytes(controller) - before < LIMITS["unread_bytes"] + 3 * size
            client.send_signal(signal.SIGCONT)
            whole, dropped, value = map(int, client.stdout.readline().split())
            assert client.wait(20) == 0
        finally:
            client.kill()
    assert whole + dropped == 30
    assert whole >= LIMITS["unread_bytes"] // size
    assert dropped
    assert value == 7
