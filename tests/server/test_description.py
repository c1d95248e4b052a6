"""Connection files and engines as JSON."""

from __future__ import annotations

from kernelfleet.results import EngineInfo
from kernelfleet.server.description import CpuMeter, describe_engine, describe_fleet
from kernelfleet.wire.files.connection_file import FleetFile

FILE = FleetFile(name="a", pid=7, host="here", started=1.0, key="secret", tcp="tcp://127.0.0.1:1")


def engine(engine_id: int = 0, state: str = "idle", **facts: object) -> EngineInfo:
    return EngineInfo(id=engine_id, state=state, pid=10 + engine_id, **facts)  # type: ignore[arg-type]


def test_a_fleet_counts_its_engines_and_their_machines() -> None:
    rows = [
        describe_engine(engine(0, "idle", host="x"), None),
        describe_engine(engine(1, "busy", host="y"), None),
        describe_engine(engine(2, "busy", host="y"), None),
    ]
    head = describe_fleet(FILE, "running", rows)
    assert (head["counts"], head["nodes"]) == ({"idle": 1, "busy": 2}, 2)
    assert head["connect"].endswith("%fleet connect a")
    assert "secret" not in str(head)


def test_memory_comes_in_steps_so_that_an_idle_engine_is_no_news() -> None:
    rows = [
        describe_engine(engine(memory_bytes=size, cpu_seconds=spent), 0.3)
        for size, spent in ((50 * 2**20 + 1, 1.0), (50 * 2**20 + 40_000, 1.01))
    ]
    assert rows[0] == rows[1]
    assert rows[0]["memory_bytes"] == 50 * 2**20


def test_the_use_of_a_processor_is_measured_over_a_second() -> None:
    meter = CpuMeter()
    seen = [
        meter.measure([engine(cpu_seconds=spent)], now)[0]
        for now, spent in ((0.0, 1.0), (0.5, 1.5), (1.0, 1.9), (1.5, 2.4), (2.0, 2.4))
    ]
    assert [each and round(each) for each in seen] == [None, None, 90, 90, 50]


def test_a_restarted_engine_is_measured_afresh() -> None:
    meter = CpuMeter()
    meter.measure([EngineInfo(id=0, state="idle", pid=1, cpu_seconds=9.0)], 0.0)
    after = EngineInfo(id=0, state="idle", pid=2, cpu_seconds=0.1)
    assert meter.measure([after], 2.0) == {0: None}


def test_an_engine_of_which_nothing_is_known_has_no_figure() -> None:
    assert CpuMeter().measure([engine(cpu_seconds=None)], 0.0) == {0: None}
