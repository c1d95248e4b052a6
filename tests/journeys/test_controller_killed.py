"""The controller is killed: clients are told, engines end by themselves, the next start cleans."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kernelfleet.errors import ControllerUnreachable
from kernelfleet.wire import connection
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet

pytestmark = pytest.mark.slow

#: Until a client that asks is told; until the engines are gone.
PROMISED_ANSWER, PROMISED_END = 3.0, 5.0


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize(
    "code",
    ["pass", "import time; time.sleep(60)", "while True: pass", "sum(range(10**11))"],
    ids=["idle", "sleeping", "looping", "holding the GIL"],
)
def test_clients_are_told_and_engines_are_gone(
    own_fleet: Callable[..., OwnFleet], transport: str, code: str
) -> None:
    fleet = own_fleet(2, transport=transport)
    mec = fleet.client()
    waiting = mec.execute(f"print('in', flush=True)\n{code}", block=False)
    eventually(lambda: waiting.stdout == {0: "in\n", 1: "in\n"})
    idle = fleet.client()
    assert len(fleet.processes()) >= 3
    assert fleet.process is not None
    fleet.process.kill()
    killed = time.monotonic()

    with pytest.raises(ControllerUnreachable):
        idle.execute("1", timeout=20)
    assert time.monotonic() - killed < PROMISED_ANSWER
    if code != "pass":
        with pytest.raises(ControllerUnreachable):
            waiting.result(PROMISED_ANSWER)
    with pytest.raises(ControllerUnreachable, match="kernelfleet start"):
        mec.execute("1")
    eventually(lambda: not fleet.processes(), PROMISED_END - (time.monotonic() - killed))

    assert fleet.directory.exists()
    with_successor = own_fleet(1, transport=transport)
    assert not fleet.directory.exists()
    assert with_successor.client().get_ids() == [0]


def test_a_successor_of_the_same_name_knows_nothing_of_an_old_client(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    fleet = own_fleet(1, transport="unix")
    old = fleet.client()
    assert fleet.process is not None
    fleet.process.kill()
    fleet.process.wait()
    assert fleet.process.stdout is not None
    fleet.process.stdout.close()
    fleet._start_daemon({"n": 1, "name": fleet.name})
    with pytest.raises(ControllerUnreachable):
        old.execute("1", timeout=20)
    assert fleet.client().execute("1")[0]["number"] == 1
    assert [each.name for each in connection.find_fleets() if each.name == fleet.name]
