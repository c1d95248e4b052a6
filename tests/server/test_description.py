"""Connection files and engines as JSON."""

from __future__ import annotations

import pytest

from kernelfleet.results import EngineInfo
from kernelfleet.server.description import describe_engine, describe_fleet, known_clusters
from kernelfleet.wire.files.connection_file import FleetFile

FILE = FleetFile(name="a", pid=7, host="here", started=1.0, key="secret", tcp="tcp://127.0.0.1:1")


def engine(engine_id: int = 0, state: str = "idle", **facts: object) -> EngineInfo:
    return EngineInfo(id=engine_id, state=state, pid=10 + engine_id, **facts)  # type: ignore[arg-type]


def test_a_fleet_counts_its_engines_and_their_machines() -> None:
    rows = [
        describe_engine(engine(0, "idle", host="x")),
        describe_engine(engine(1, "busy", host="y")),
        describe_engine(engine(2, "busy", host="y")),
    ]
    head = describe_fleet(FILE, "running", rows)
    assert (head["counts"], head["nodes"]) == ({"idle": 1, "busy": 2}, 2)
    assert head["connect"].endswith("%fleet connect a")
    assert "secret" not in str(head)


def test_memory_comes_in_steps_so_that_an_idle_engine_is_no_news() -> None:
    rows = [
        describe_engine(engine(memory_bytes=size, cpu_seconds=spent, cpu_percent=spent))
        for size, spent in ((50 * 2**20 + 1, 1.0), (50 * 2**20 + 40_000, 1.01))
    ]
    assert rows[0] == rows[1]
    assert rows[0]["memory_bytes"] == 50 * 2**20


def test_clusters_are_offered_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert known_clusters() == ["ssh:"]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert known_clusters() == ["ssh:", "tls://", "tcp://"]
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert known_clusters() == ["ssh:", "srun", "tls://", "tcp://"]
