"""A controller that is stopped (SIGSTOP): timeouts hold, nobody hangs, and then it goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CallTimeout, ControllerUnreachable
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet

pytestmark = pytest.mark.slow

PROMISED_ANSWER = 3.0


@pytest.fixture
def frozen(own_fleet: Callable[..., OwnFleet], transport: str) -> Iterator[OwnFleet]:
    """A fleet of two that the test stops; it goes on at the latest when the test is over."""
    fleet = own_fleet(2, transport=transport)
    yield fleet
    assert fleet.process is not None
    fleet.process.send_signal(signal.SIGCONT)


def stop(fleet: OwnFleet) -> None:
    assert fleet.process is not None
    fleet.process.send_signal(signal.SIGSTOP)


def go_on(fleet: OwnFleet) -> None:
    assert fleet.process is not None
    fleet.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_timeouts_hold_and_who_waits_is_told_in_time(frozen: OwnFleet) -> None:
    mec, other = frozen.client(), frozen.client()
    running = other.execute("import time; time.sleep(0.5); 'kept'", block=False)
    eventually(lambda: all(status["pending"] for _, status in mec.queue_status()))
    stop(frozen)
    calls: list[Callable[[], object]] = [
        lambda: mec.execute("1", timeout=0.5),
        lambda: mec.push({"x": bytes(5_000_000)}, timeout=0.5),
        lambda: mec.pull("x", timeout=0.5),
        lambda: mec.map(str, range(10), timeout=0.5),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises((CallTimeout, ControllerUnreachable)):
            call()
        assert time.monotonic() - began < 1.5
    began = time.monotonic()
    with pytest.raises(ControllerUnreachable):
        running.result(20)
    assert time.monotonic() - began < PROMISED_ANSWER
    began = time.monotonic()
    with pytest.raises(ControllerUnreachable):
        MultiEngineClient(frozen.address)
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_afterwards_the_work_goes_on_and_results_are_there(frozen: OwnFleet) -> None:
    mec = frozen.client()
    running = mec.execute("import time; time.sleep(0.5); x = 42", block=False)
    eventually(lambda: all(status["pending"] for _, status in mec.queue_status()))
    stop(frozen)
    with pytest.raises(ControllerUnreachable):
        running.result(20)
    go_on(frozen)
    with MultiEngineClient(frozen.address) as fresh:
        found = fresh.pending_result(running.result_id).result(20)
        assert [each["number"] for each in found] == [1, 1]
        assert fresh.pull("x", timeout=20) == [42, 42]
        assert [each["number"] for each in fresh.execute("1", timeout=20)] == [2, 2]


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_short_stop_is_not_noticed_but_by_its_length(frozen: OwnFleet) -> None:
    mec = frozen.client()
    for _ in range(3):
        stop(frozen)
        pending = [mec.execute("1", block=False) for _ in range(20)]
        assert not pending[-1].wait(1.0)
        go_on(frozen)
        numbers = [each.result(20)[0]["number"] for each in pending]
        assert numbers == list(range(numbers[0], numbers[0] + 20)), "each once, in order"
    assert mec.execute("1", timeout=20)[0]["number"] == 61
