"""network_threads.py: what was flushed has left, whatever happens to the process then."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from kernelfleet.engine.output import network_threads
from kernelfleet.engine.output.network_threads import NetworkThreads
from tests.engine.driver import Engine, wait_until

STOP = "print('said', flush=True); os.kill(os.getpid(), signal.SIGSTOP)"


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_stopped_engine_has_sent_what_it_flushed(start_engine: Callable[..., Engine]) -> None:
    engine = start_engine()
    engine.execute("import os, signal")
    for _ in range(50):
        sent = engine.send("fleet_execute_request", {"code": STOP})
        wait_until(lambda: is_stopped(engine.process.pid))
        engine.wait_for_output(sent, "said", timeout=5)
        os.kill(engine.process.pid, signal.SIGCONT)
        assert engine.reply_to(sent)["content"]["status"] == "ok"


def test_they_are_found_and_sleep_when_there_is_nothing_to_do() -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.linger = 0
        socket.bind("inproc://x")  # the first socket starts the context's threads
        threads = NetworkThreads()
        assert threads._stats
        begun = time.monotonic()
        threads.wait()
        assert time.monotonic() - begun < 5
    threads.wait()  # they have ended
    for stat in threads._stats:
        os.close(stat)


def test_nobody_waits_for_ever_for_a_busy_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tmp_path / "7"
    task.mkdir()
    (task / "comm").write_text("ZMQbg/IO/0\n")
    (task / "stat").write_text("7 (ZMQbg/IO/0) R 1 7")
    monkeypatch.setattr(network_threads, "_TASKS", str(tmp_path))
    monkeypatch.setattr(network_threads, "_PATIENCE_SECONDS", 0.05)
    threads = NetworkThreads()
    begun = time.monotonic()
    threads.wait()
    assert 0.05 <= time.monotonic() - begun < 5
    for stat in threads._stats:
        os.close(stat)


def test_other_systems_have_nothing_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_threads, "_TASKS", str(tmp_path / "none"))
    threads = NetworkThreads()
    assert threads._stats == []
    threads.wait()
