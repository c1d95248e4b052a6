"""A client is killed: what it submitted goes on, its maps and tasks end, nobody else notices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelfleet import MultiEngineClient
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet

pytestmark = pytest.mark.slow

#: Until the daemon knows that a killed client is gone.
PROMISED_NOTICE = 12.0

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run a script that is given a fleet's address as ``address``."""
    started: list[subprocess.Popen[str]] = []

    def run(fleet: OwnFleet, script: str) -> subprocess.Popen[str]:
        header = (
            "import json, sys, os, time\n"
            "from kernelfleet import MultiEngineClient\n"
            "address = json.loads(sys.argv[1])\n"
            "mec = MultiEngineClient(tuple(address) if isinstance(address, list) else address)\n"
        )
        path = tmp_path / f"script-{len(started)}.py"
        path.write_text(header + script)
        command = [sys.executable, str(path), json.dumps(fleet.address)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the script has ended"
    return line


def pending(mec: MultiEngineClient) -> dict[int, str | None]:
    """What each engine runs."""
    return {engine_id: status["pending"] for engine_id, status in mec.queue_status()}


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_submitted_requests_are_finished_and_can_be_fetched_by_id(
    own_fleet: Callable[..., OwnFleet], transport: str, run: Run, tmp_path: Path
) -> None:
    fleet = own_fleet(2, transport=transport)
    go = tmp_path / "go"
    script = f"""
first = mec.execute('''import os, time
while not os.path.exists({str(go)!r}): time.sleep(0.01)
x = 42''', block=False)
second = mec.push({{'y': bytes(3_000_000)}}, block=False)
third = mec.apply(lambda: x + len(y), block=False)
fourth = mec.apply(lambda: bytes(2_000_000), block=False)
print(json.dumps([each.result_id for each in (first, second, third, fourth)]), flush=True)
time.sleep(600)
"""
    client = run(fleet, script)
    ids = json.loads(line_of(client))
    mec = fleet.client()
    # the ids are made before the requests are sent
    eventually(lambda: all(len(status["queue"]) == 3 for _, status in mec.queue_status()))
    client.kill()
    client.wait()
    go.touch()
    assert [each["number"] for each in mec.pending_result(ids[0]).result(20)] == [1, 1]
    assert mec.pending_result(ids[2]).result(20) == [3_000_042] * 2
    assert list(map(len, mec.pending_result(ids[3]).result(20))) == [2_000_000] * 2


@pytest.mark.parametrize(
    ("transport", "work"),
    [
        ("unix", "executor = mec.executor()\nfor _ in range(50): executor.submit(task)"),
        ("tcp", "mec.map(task, range(50))"),
    ],
    ids=["executor", "map"],
)
def test_maps_and_executor_tasks_end_with_their_client(
    own_fleet: Callable[..., OwnFleet], transport: str, work: str, run: Run, tmp_path: Path
) -> None:
    fleet = own_fleet(2, transport=transport)
    began = tmp_path / "began"
    script = f"""
def task(_=None):
    import time
    with open({str(began)!r}, 'a') as file: file.write('x')
    time.sleep(600)
{work}
time.sleep(600)
"""
    client = run(fleet, script)
    mec = fleet.client()
    eventually(
        lambda: all(status["pending"] and status["queue"] for _, status in mec.queue_status())
    )
    eventually(lambda: began.exists() and len(began.read_text()) == 2)
    other = mec.execute("1", block=False)
    client.kill()
    assert [each["number"] for each in other.result(PROMISED_NOTICE)] == [1, 1]
    assert pending(mec) == {0: None, 1: None}
    assert len(began.read_text()) == 2, "what waited was started"


def test_maps_and_executor_tasks_end_when_their_client_is_closed(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    fleet = own_fleet(2, transport="unix")
    mec, mine = fleet.client(), fleet.client()
    executor = mine.executor()
    futures = [executor.submit(time.sleep, 600) for _ in range(10)]
    eventually(lambda: all(status["pending"] for _, status in mec.queue_status()))
    mine.close()
    eventually(lambda: pending(mec) == {0: None, 1: None}, 5)
    assert all(future.exception(5) is not None for future in futures)
    executor.shutdown()


def test_other_clients_notice_nothing_of_a_killed_one(
    own_fleet: Callable[..., OwnFleet], run: Run
) -> None:
    fleet = own_fleet(2, transport="unix")
    mec = fleet.client()
    mec.execute("import numpy; big = numpy.zeros(10_000_000)", timeout=30)
    script = """
print('ready', flush=True)
while True:
    mec.pull('big')
    mec.execute('z = 1', block=False)
    mec.push({'w': bytes(5_000_000)}, block=False)
"""
    clients = [run(fleet, script) for _ in range(3)]
    for client in clients:
        line_of(client)
    for client in clients:
        client.kill()
        client.wait()
        assert mec.apply(os.getpid, timeout=10)
    assert mec.execute("1", timeout=20)[0]["id"] == 0
