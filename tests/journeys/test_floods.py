"""Engines that show much, or print without end: others are answered, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

from kernelfleet import MultiEngineClient
from tests.journeys.daemons import OwnFleet

MB = 1024 * 1024
StartOwn = Callable[..., OwnFleet]

DISPLAYS = {
    "figure": "{'y': [i / 7 for i in range(300_000)]}",
    "table": "[{'field%d' % j: i * j for j in range(10)} for i in range(20_000)]",
    "map": "[[i * .01, i * .02] for i in range(150_000)]",
}
FLOOD = "for _ in range({limit} // 180): print('z' * 200)"


def controller_of(own: OwnFleet) -> psutil.Process:
    assert own.process is not None
    return psutil.Process(own.process.pid)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@pytest.mark.parametrize("shown", DISPLAYS.values(), ids=DISPLAYS)
def test_a_display_of_megabytes_costs_the_controller_its_length_and_no_walk(
    own_fleet: StartOwn, shown: str
) -> None:
    own = own_fleet(1)
    mec = own.client()
    mec.execute("1")
    controller = controller_of(own)
    memory, begun = controller.memory_info().rss, cpu_seconds(controller)
    code = f"display({{'application/json': {shown}, 'text/plain': 'shown'}}, raw=True)"
    (result,) = mec.execute(code, timeout=60)
    spent = cpu_seconds(controller) - begun
    (output,) = result.outputs
    assert len(output["data"]["application/json"]) > 0
    assert spent < 0.25  # walking through it took seconds
    assert controller.memory_info().rss - memory < 30 * MB


@pytest.mark.parametrize(
    "n", [4, pytest.param(16, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.slow)]
)
def test_engines_that_print_up_to_their_limit_lose_nothing_and_disturb_nobody(
    own_fleet: StartOwn, n: int
) -> None:
    limit = {4: 8, 16: 17, 60: 4}[n] * MB  # 16 of 17 MB: more than one header may hold
    own = own_fleet(n + 1, limits={"output_bytes": limit})
    mec, other = own.client(), own.client()
    other.execute("1", targets=n)
    controller = controller_of(own)
    memory = controller.memory_info().rss
    flood = mec.execute(FLOOD.format(limit=limit), targets=list(range(n)), block=False)
    waits = []
    while not flood.done():
        waits.append(seconds_of_a_small_call(other, n))
    worst, median = max(waits), sorted(waits)[len(waits) // 2]
    assert worst < 2  # which is short of what a client takes for a lost controller
    assert median < 0.3
    printed = flood.stdout
    assert sorted(printed) == list(range(n))
    for text in printed.values():
        lines, _, note = text.partition("\n[kernelfleet leaves out ")
        assert (set(lines), bool(note)) == ({"z", "\n"}, True)
        assert limit <= len(lines) < 1.2 * limit  # a little comes back each second
    total = sum(map(len, printed.values()))
    assert controller.memory_info().rss - memory < 1.3 * total + 50 * MB


def seconds_of_a_small_call(mec: MultiEngineClient, engine: int) -> float:
    begun = time.monotonic()
    assert mec.apply(int, 3, targets=engine, timeout=30) == [3]
    return time.monotonic() - begun
