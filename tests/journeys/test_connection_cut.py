"""The connection is cut, slow, frozen, black: what was sent runs once, what came arrives once.

Over TCP, through a proxy; the bytes really travel. The daemon is shared by the tests of this file.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import ControllerUnreachable, InvalidDeferredID
from tests.fleets import eventually
from tests.gate import Gate
from tests.journeys.daemons import OwnFleet
from tests.journeys.networks import Network, heals, raises_unreachable
from tests.journeys.proxies import Direction, Proxy

#: Until a call that waits, or is made, is told that nobody answers.
PROMISED = 3.0
LARGE_BYTES = 100_000_000


@pytest.fixture(scope="module")
def fleet() -> Iterator[OwnFleet]:
    fleet = OwnFleet("unix", n=2)
    yield fleet
    fleet.clean_up()


@pytest.fixture
def network(fleet: OwnFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")
    network = Network(fleet, tmp_path)
    network.neighbour().reset(timeout=20)
    yield network
    network.close()


@pytest.fixture
def proxy(network: Network) -> Proxy:
    return network.proxy


@pytest.fixture
def mec(network: Network) -> MultiEngineClient:
    mec = network.client()
    mec.execute("x = 0")
    return mec


COUNT = "x += 1"
CUTS = pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])


def counted(network: Network) -> list[int]:
    """How often each engine has run ``COUNT``."""
    return list(network.neighbour().pull("x"))


# -- cut --------------------------------------------------------------------------------------


@CUTS
def test_a_cut_while_nothing_is_under_way_is_not_noticed(
    proxy: Proxy, mec: MultiEngineClient, reset: bool
) -> None:
    for _ in range(3):
        proxy.cut(reset=reset)
        assert mec.execute("1", timeout=10).values() == [1, 1]


@CUTS
def test_a_request_on_its_way_runs_once(
    network: Network, proxy: Proxy, mec: MultiEngineClient, reset: bool
) -> None:
    proxy.freeze("up")
    pending = mec.execute(COUNT, block=False)
    proxy.wait_until_held("up", 200)
    proxy.cut(reset=reset)
    proxy.thaw()
    assert [each["number"] for each in pending.result(10)] == [2, 2]
    assert counted(network) == [1, 1]


@CUTS
def test_a_reply_on_its_way_arrives_once_and_nothing_runs_again(
    network: Network, proxy: Proxy, mec: MultiEngineClient, reset: bool
) -> None:
    arrivals: list[object] = []
    proxy.freeze("down")
    pending = mec.execute(COUNT, block=False)
    pending.add_done_callback(arrivals.append)
    eventually(lambda: counted(network) == [1, 1])
    proxy.cut(reset=reset)
    proxy.thaw()
    assert [each["number"] for each in pending.result(10)] == [2, 2]
    assert mec.execute(COUNT, timeout=10)[0]["number"] == 3
    assert counted(network) == [2, 2]
    assert arrivals == [pending]


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_hundred_megabytes_that_are_cut_in_the_middle_arrive_whole(
    proxy: Proxy, mec: MultiEngineClient, direction: Direction
) -> None:
    data = random.Random(direction).randbytes(LARGE_BYTES)
    if direction == "up":
        proxy.cut_after("up", LARGE_BYTES // 3)
        mec.push({"data": data}, targets=0, timeout=60)
        assert proxy.cuts == 1
    else:
        mec.push({"data": data}, targets=0, timeout=60)
        proxy.cut_after("down", LARGE_BYTES // 3)
    assert mec.pull("data", targets=0, timeout=60) == [data]
    assert proxy.cuts == 1
    mec.push({"data": None}, targets=0)


@pytest.mark.parametrize("count", [64, 700])
def test_a_cut_in_the_middle_of_a_handshake_delays_and_does_no_more(
    network: Network, proxy: Proxy, mec: MultiEngineClient, count: int
) -> None:
    for direction in ("up", "down"):
        proxy.cut_after(direction, count)
        cuts = proxy.cuts
        proxy.cut()
        proxy.wait_for(lambda cuts=cuts: proxy.cuts >= cuts + 2)  # type: ignore[misc]
        assert mec.execute(COUNT, timeout=10)
    assert counted(network) == [2, 2]


def test_a_cut_in_the_middle_of_the_first_handshake_is_no_refusal(
    network: Network, proxy: Proxy
) -> None:
    proxy.cut_after("down", 100)
    with network.client() as mec:
        assert mec.execute("1", timeout=10)
    assert proxy.cuts == 1


def test_a_map_that_is_cut_gives_each_item_once_in_order(
    network: Network, proxy: Proxy, mec: MultiEngineClient
) -> None:
    mec.execute("seen = []\ndef f(i):\n    seen.append(i)\n    return i * i")
    stop = threading.Event()
    cutter = cut_now_and_then(proxy, stop, seed=1)
    values = mec.map("f", range(300), chunksize=5)
    stop.set()
    cutter.join()
    assert values == [i * i for i in range(300)]
    seen = network.neighbour().pull("seen")
    assert sorted(seen[0] + seen[1]) == list(range(300))
    assert proxy.cuts


def test_streamed_output_that_is_cut_is_complete_and_in_order(
    proxy: Proxy, mec: MultiEngineClient
) -> None:
    pieces: dict[int, list[str]] = {0: [], 1: []}

    def on_output(engine_id: int, _: str, content: dict[str, Any]) -> None:
        pieces[engine_id].append(content["text"])

    stop = threading.Event()
    cutter = cut_now_and_then(proxy, stop, seed=2)
    results = mec.execute(
        "for i in range(1000): print(i, flush=True)", timeout=30, on_output=on_output
    )
    stop.set()
    cutter.join()
    expected = "".join(f"{i}\n" for i in range(1000))
    assert results.stdout == [expected] * 2
    assert {i: "".join(each) for i, each in pieces.items()} == {0: expected, 1: expected}
    assert proxy.cuts


def cut_now_and_then(
    proxy: Proxy, stop: threading.Event, seed: int, times: int = 10**6
) -> threading.Thread:
    """Cut after so many bytes of one direction or the other, at random, again and again."""
    chance = random.Random(seed)

    def cut() -> None:
        for _ in range(times):
            goal = proxy.cuts + 1
            direction: Direction = chance.choice(["up", "down"])
            proxy.cut_after(direction, chance.randrange(1000, 8000))
            with proxy.changed:
                while proxy.cuts < goal:
                    if stop.is_set():
                        return
                    proxy.changed.wait(0.05)

    thread = threading.Thread(target=cut, name="cutter", daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_five_hundred_commands_through_fifty_random_cuts_run_once_each_in_order(
    network: Network, proxy: Proxy, mec: MultiEngineClient
) -> None:
    stop = threading.Event()
    cutter = cut_now_and_then(proxy, stop, seed=3, times=50)
    arrivals: list[int] = []
    pendings: list[Any] = []
    while len(pendings) < 500 or cutter.is_alive():
        pending: Any = mec.execute(f"{COUNT}; x", block=False)
        number = len(pendings) + 1
        pending.add_done_callback(lambda _, number=number: arrivals.append(number))
        pendings.append(pending)
        if number % 10 == 0:
            pending.result(20)
    values = [each.result(30).values() for each in pendings]
    stop.set()
    cutter.join()
    assert values == [[i, i] for i in range(1, len(pendings) + 1)]
    assert arrivals == list(range(1, len(pendings) + 1))
    assert counted(network) == [len(pendings)] * 2
    assert proxy.cuts == 50


# -- slow -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_with_a_second_of_delay_everything_works(
    network: Network, proxy: Proxy, mec: MultiEngineClient
) -> None:
    proxy.delay = 1.0
    assert mec.execute("1", timeout=10).values() == [1, 1]
    assert mec.map(abs, [-1, -2]) == [1, 2]
    proxy.delay = 0.5  # a second there and back
    with network.client() as another:
        assert another.execute("1", timeout=10).values() == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_large_message_on_a_slow_network_arrives_and_is_no_silence(
    proxy: Proxy, mec: MultiEngineClient, direction: Direction
) -> None:
    transport: Any = mec._connection._transport
    line = transport._connection
    data = random.Random(direction).randbytes(16_000_000)
    if direction == "up":
        proxy.rate = 2_000_000
    mec.push({"data": data}, targets=0, timeout=60)
    proxy.rate = 2_000_000 if direction == "down" else None
    assert mec.pull("data", targets=0, timeout=60) == [data]
    assert not proxy.cuts
    # It was not replaced. (How often a probe is made beside it, none to two times, depends on when
    # parts of the message are acknowledged.)
    assert transport._connection is line
    assert proxy.accepted <= 3


# -- dark -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_network_that_hangs_for_two_seconds_is_not_noticed(
    network: Network, proxy: Proxy, mec: MultiEngineClient
) -> None:
    proxy.freeze()
    pending = mec.execute(COUNT, block=False)
    threading.Timer(2.0, proxy.thaw).start()
    assert pending.result(10)
    assert counted(network) == [1, 1]


@pytest.mark.slow
def test_a_connection_that_is_dead_without_a_word_is_replaced_if_others_work(
    network: Network, proxy: Proxy, mec: MultiEngineClient
) -> None:
    proxy.darken()
    proxy.lighten()
    assert mec.execute(COUNT, timeout=20)
    assert counted(network) == [1, 1]


Fault = Callable[[Proxy], None]


def refuse(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.cut()


OUTAGES = pytest.mark.parametrize(
    ("begin", "end"),
    [(Proxy.freeze, Proxy.thaw), (Proxy.darken, Proxy.lighten), (refuse, Proxy.accept)],
    ids=["frozen", "black", "refused"],
)


@pytest.mark.slow
@OUTAGES
def test_a_longer_outage_is_told_within_the_promise_and_then_heals_by_itself(
    network: Network, proxy: Proxy, mec: MultiEngineClient, begin: Fault, end: Fault
) -> None:
    begin(proxy)
    error = raises_unreachable(lambda: mec.execute(COUNT, timeout=20), PROMISED)
    assert "keeps trying" in str(error)
    again = raises_unreachable(lambda: mec.execute(COUNT, timeout=20), 0.2)
    assert again.result_id is None  # it was not even sent
    if begin is not refuse:
        proxy.wait_for(lambda: proxy.accepted >= 4)  # attempts that come to nothing
    end(proxy)
    heals(mec)
    assert mec.execute(COUNT, timeout=10)
    first = 1 if begin is Proxy.freeze else 0  # what was frozen arrived; the rest never did
    assert counted(network) in ([1, 1], [1 + first, 1 + first])


@pytest.mark.slow
def test_what_had_failed_and_arrived_can_be_fetched_by_its_id(
    proxy: Proxy, mec: MultiEngineClient, gate: Gate
) -> None:
    pending = mec.execute(f"{gate.code}; x = 7; x", block=False)
    late = mec.execute("x", block=False)
    gate.entered(2)
    refuse(proxy)
    error = raises_unreachable(lambda: pending.result(20), PROMISED)
    assert f"mec.pending_result('{pending.result_id}')" in str(error)
    assert error.result_id == pending.result_id
    assert raises_unreachable(lambda: late.result(20), PROMISED).result_id == late.result_id
    gate.open()
    proxy.accept()
    heals(mec)
    assert mec.pending_result(pending.result_id).result(10).values() == [7, 7]
    assert mec.pending_result(late.result_id).result(10).values() == [7, 7]
    with pytest.raises(type(error)):  # a result that has failed stays as it is
        pending.result(1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_the_network_does_each_command_runs_at_most_once_in_order_and_is_told_right(
    network: Network, proxy: Proxy, mec: MultiEngineClient, seed: int
) -> None:
    mec.execute("seen = []")
    chance, stop = random.Random(seed), threading.Event()
    weather = threading.Thread(target=storm, args=(proxy, random.Random(seed), stop))
    weather.start()
    pendings: list[Any] = []
    end = time.monotonic() + 15.0  # the storm itself
    while time.monotonic() < end:
        with contextlib.suppress(ControllerUnreachable):
            pendings.append(mec.execute(f"seen.append({len(pendings)})", block=False))
            if chance.random() < 0.3:
                pendings[-1].wait(10)
    stop.set()
    weather.join()
    heals(mec)
    errors = [each.exception(20) for each in pendings]
    seen = network.neighbour().pull("seen")
    assert seen[0] == seen[1] == sorted(set(seen[0]))
    for number, error in enumerate(errors):
        if error is None:
            assert number in seen[0]
        else:
            assert isinstance(error, ControllerUnreachable)
            assert was_run(mec, pendings[number].result_id) == (number in seen[0])
    assert errors.count(None) > 20
    assert proxy.cuts > 5


def storm(proxy: Proxy, chance: random.Random, stop: threading.Event) -> None:
    """Faults of all kinds, some longer than the client puts up with."""
    while not stop.wait(chance.uniform(0.0, 0.3)):
        kind = chance.choice(["cut", "reset", "up", "down", "freeze", "refuse"])
        if kind in ("cut", "reset"):
            proxy.cut(reset=kind == "reset")
        elif kind == "freeze":
            directions: list[list[Direction]] = [["up"], ["down"], ["up", "down"]]
            proxy.freeze(*chance.choice(directions))
            stop.wait(chance.uniform(0.0, 0.5))
            proxy.thaw()
        elif kind == "refuse":
            refuse(proxy)
            stop.wait(chance.choice([0.1, 0.5, 3.0]))
            proxy.accept()
        else:
            proxy.cut_after("up" if kind == "up" else "down", chance.randrange(1, 6000))


def was_run(mec: MultiEngineClient, result_id: str) -> bool:
    """Whether a call that had failed has a result after all."""
    try:
        mec.pending_result(result_id).result(10)
    except InvalidDeferredID:
        return False
    return True
