"""A real controller with real engines, over its socket: what cannot be said hurts nobody there."""

from __future__ import annotations

from pathlib import Path
from random import Random

import psutil
import pytest

from tests.controller.fuzzing import Message, any_message, spoilt
from tests.journeys.daemons import OwnFleet
from tests.journeys.raw import RawClient

MB = 1024 * 1024
CASES = 10_000

#: A daemon that writes down what it logs as an error, and what its loop could not handle.
WATCHED = """
import json, logging, os, sys
logging.basicConfig(filename=os.environ["ERRORS"], level=logging.ERROR)
from dataclasses import asdict
from kernelfleet.controller.daemon import run_daemon
from kernelfleet.controller.options import FleetOptions
options = FleetOptions.of(**json.loads(sys.argv[1]))
run_daemon(options, lambda fleet: print(json.dumps(asdict(fleet)), flush=True))
"""
#: They end what the test works with, as they should; and what would be taken for our own ping.
ENDS = [b"shutdown", b"kill", b"scale", b"restart", b"bye", b'"type":"ping"']


class WatchedFleet(OwnFleet):
    """It tells what went wrong inside."""

    daemon = WATCHED


def harmless(random: Random, raw: RawClient, n: int) -> Message:
    """A message that may say anything but that this is the end."""
    while True:
        message = any_message(random, n, raw.sequence.received, [b"handle"])
        if not any(word in message.packed for word in ENDS):
            return message


@pytest.mark.slow
def test_a_daemon_takes_whatever_comes_and_serves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = tmp_path / "errors"
    monkeypatch.setenv("ERRORS", str(errors))
    own = WatchedFleet(n=2)
    try:
        mec, random = own.client(), Random(1)
        assert own.process is not None
        controller = psutil.Process(own.process.pid)
        with RawClient(own.name) as raw:
            n, before = 0, 0
            for case in range(CASES):
                message = harmless(random, raw, n + random.choice([1] * 8 + [0, 2]))
                frames = [raw._to._sign(message.packed), message.packed, *message.buffers]
                raw.socket.send_multipart(
                    spoilt(random, frames) or [b""] if random.randrange(10) == 0 else frames
                )
                raw.send({"type": "ping"})
                while (header := raw.read()[0])["type"] != "pong":
                    pass
                n = header["ack"]  # how many numbered ones have been taken
                if case % 100 == 0:
                    assert mec.execute("1", timeout=20).values() == [1, 1]
                if case == CASES // 3:
                    before = controller.memory_info().rss
        assert n > CASES // 3
        assert mec.execute("1", timeout=20).values() == [1, 1]
        grown = controller.memory_info().rss - before
        assert grown < 32 * MB, f"{grown / MB:.0f} MB"
        assert own.process.poll() is None
    finally:
        own.clean_up()
    assert errors.read_text() == ""
