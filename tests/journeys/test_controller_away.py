"""The controller does not answer for a while, or has forgotten a client: what heals by itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import ControllerUnreachable
from kernelfleet.session.transport import SocketTransport
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet
from tests.journeys.networks import Network, heals, raises_unreachable

pytestmark = pytest.mark.slow

PROMISED = 3.0
COUNT = "x += 1"

#: A daemon that forgets a client that is silent for a second.
IMPATIENT = """
from kernelfleet.controller.door import server
server.CHECK_SECONDS, server.CLIENT_TIMEOUT = 0.2, 1.0
"""


class ImpatientFleet(OwnFleet):
    daemon = IMPATIENT + OwnFleet.daemon


@pytest.fixture
def impatient() -> Iterator[ImpatientFleet]:
    fleet = ImpatientFleet("tcp", n=2)
    yield fleet
    fleet.clean_up()


@pytest.fixture
def stop_and_go() -> Iterator[Callable[[psutil.Process, int], None]]:
    """Signal processes; those that were stopped go on after the test."""
    stopped: list[psutil.Process] = []

    def send(process: psutil.Process, signum: int) -> None:
        stopped.append(process)
        process.send_signal(signum)

    yield send
    for process in stopped:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


Send = Callable[[psutil.Process, int], None]


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_controller_that_was_stopped_and_goes_on_has_its_clients_back(
    own_fleet: Callable[..., OwnFleet], transport: str, stop_and_go: Send, gate: Gate
) -> None:
    fleet = own_fleet(2, transport=transport)
    mec, idle = fleet.client(), fleet.client()
    mec.execute("x = 0")
    running = mec.execute(f"{gate.code}; x", block=False)
    gate.entered(2)
    assert fleet.process is not None
    controller = psutil.Process(fleet.process.pid)
    stop_and_go(controller, signal.SIGSTOP)
    under_way = mec.execute(COUNT, block=False)
    for pending in (running, under_way):
        error = raises_unreachable(lambda pending=pending: pending.result(20), PROMISED)  # type: ignore[misc]
        assert error.result_id == pending.result_id
    raises_unreachable(lambda: mec.execute(COUNT), 0.2)
    raises_unreachable(lambda: idle.execute(COUNT, timeout=20), PROMISED)
    gate.open()
    stop_and_go(controller, signal.SIGCONT)
    for client in (mec, idle):
        heals(client)
    assert mec.pending_result(running.result_id).result(10).values() == [0, 0]
    # Both requests had reached the controller's host before anybody was told: they ran, once.
    assert mec.pending_result(under_way.result_id).result(10)
    assert mec.pull("x") == [2, 2]
    assert mec.execute(COUNT)[0]["number"] == idle.execute("1")[0]["number"] - 1


def test_a_forgotten_client_starts_anew_by_itself(
    impatient: ImpatientFleet, tmp_path: Path, gate: Gate
) -> None:
    network = Network(impatient, tmp_path)
    mec = network.client()
    mec.push({"x": 0})
    pending = mec.execute(f"{gate.code}; x = 7; x", block=False)
    gate.entered(2)
    network.proxy.freeze("up")
    eventually(lambda: phase_of(mec) != "open", 2.4)  # it has been told, and has no line now
    assert not pending.done()
    network.proxy.thaw()
    with pytest.raises(ControllerUnreachable, match="forgot") as caught:
        pending.result(20)
    assert f"mec.pending_result('{pending.result_id}')" in str(caught.value)
    heals(mec)
    # They are numbered like the one that still runs; its reply is not theirs.
    anew = [mec.execute(f"'call {i}'", block=False) for i in range(4)]
    gate.open()
    assert [each.result(10).values() for each in anew] == [[f"call {i}"] * 2 for i in range(4)]
    assert mec.pending_result(pending.result_id).result(10).values() == [7, 7]
    assert mec.execute("x += 1; x").values() == [8, 8]
    network.close()


def phase_of(mec: MultiEngineClient) -> str:
    transport = mec._connection._transport
    assert isinstance(transport, SocketTransport)
    return transport._reach.phase


_SCRIPT = """
import json, sys
from kernelfleet import MultiEngineClient
from kernelfleet.errors import ControllerUnreachable
mec = MultiEngineClient(tuple(json.loads(sys.argv[1])))
pending = mec.execute(sys.argv[2], block=False)
print(pending.result_id, flush=True)
try:
    pending.result(30)
except ControllerUnreachable as error:
    print(error.result_id, flush=True)
while True:
    try:
        print(mec.pending_result(pending.result_id).result(20).values(), flush=True)
        break
    except ControllerUnreachable:
        pass
print(mec.execute("x += 1; x").values(), flush=True)
"""


def test_a_client_that_slept_longer_than_the_controller_waits_is_told_and_goes_on(
    impatient: ImpatientFleet, gate: Gate, stop_and_go: Send
) -> None:
    code = f"x = 0; {gate.code}; x = 7; x"
    command = [sys.executable, "-c", _SCRIPT, json.dumps(impatient.address), code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as script:
        assert script.stdout is not None
        result_id = script.stdout.readline().strip()
        gate.entered(2)
        sleeper = psutil.Process(script.pid)
        stop_and_go(sleeper, signal.SIGSTOP)
        neighbour = impatient.client()
        time.sleep(2.0)  # the sleep itself: twice as long as the controller waits
        gate.open()
        eventually(lambda: neighbour.pull("x", timeout=20) == [7, 7])
        stop_and_go(sleeper, signal.SIGCONT)
        assert script.stdout.readline().strip() == result_id
        assert script.stdout.readline().strip() == "[7, 7]"
        assert script.stdout.readline().strip() == "[8, 8]"
        assert script.wait(20) == 0


def test_a_fleet_that_was_stopped_stays_lost_and_the_client_leaves_nothing(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    fleet = own_fleet(1, transport="unix")
    mec = fleet.client()
    descriptors = descriptors_of_this_process()
    fleet.stop()
    error = raises_unreachable(lambda: eventually(lambda: not mec.execute("1")), PROMISED)
    assert "the fleet was stopped" in str(error)
    assert "keeps trying" not in str(error)
    eventually(lambda: descriptors_of_this_process() < descriptors)


def test_a_successor_of_the_same_name_is_told_from_a_controller_that_may_come_back(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    fleet = own_fleet(1, transport="unix")
    old = fleet.client()
    fleet.kill()
    assert fleet.process is not None
    assert fleet.process.stdout is not None
    fleet.process.stdout.close()
    assert "keeps trying" in str(raises_unreachable(lambda: old.execute("1"), PROMISED))
    fleet._start_daemon({"n": 1, "name": fleet.name})

    def knows() -> bool:
        text = str(raises_unreachable(lambda: old.execute("1"), PROMISED))
        return "another fleet is called" in text and "keeps trying" not in text

    eventually(knows)
    assert fleet.client().execute("1")[0]["number"] == 1


def test_a_lost_client_leaks_nothing_while_it_tries_and_closes_at_once(
    own_fleet: Callable[..., OwnFleet], tmp_path: Path
) -> None:
    network = Network(own_fleet(1), tmp_path)
    mec = network.client()
    network.proxy.refuse()
    network.proxy.cut()
    raises_unreachable(lambda: mec.execute("1"), PROMISED)
    network.proxy.accept()
    heals(mec)  # whatever is made once has been made
    network.proxy.refuse()
    network.proxy.cut()
    raises_unreachable(lambda: mec.execute("1"), PROMISED)
    eventually(lambda: network.proxy.open == 0)
    descriptors, threads = descriptors_of_this_process(), threading.active_count()
    with socket.create_server(("127.0.0.1", network.proxy.port)) as listener:
        listener.settimeout(20)
        began, work = time.monotonic(), time.process_time()
        for _ in range(6):
            listener.accept()[0].close()
        assert time.monotonic() - began > 3.0  # about once in a second
        assert time.process_time() - work < 1.0
    eventually(lambda: descriptors_of_this_process() <= descriptors)
    eventually(lambda: threading.active_count() <= threads)
    closing = time.monotonic()
    mec.close()
    assert time.monotonic() - closing < 0.5
    network.close()


def descriptors_of_this_process() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_an_idle_client_whose_controller_comes_and_goes_notices_by_itself(
    own_fleet: Callable[..., OwnFleet], tmp_path: Path
) -> None:
    network = Network(own_fleet(1), tmp_path)
    mec: MultiEngineClient = network.client()
    network.proxy.refuse()
    network.proxy.cut()
    eventually(lambda: "unreachable" in repr(mec), PROMISED)
    network.proxy.accept()
    eventually(lambda: "unreachable" not in repr(mec), PROMISED)
    assert mec.execute("1")
    network.close()
