"""Gauges of fleets on the server's /metrics."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.fleets import eventually
from tests.server.conftest import JupyterServer


def fleet(name: str, state: str, *rows: Any) -> Any:
    counts: dict[str, int] = {}
    for each in rows:
        counts[each["state"]] = counts.get(each["state"], 0) + 1
    return {"name": name, "state": state, "counts": counts, "engines": list(rows)}


def row(state: str, queue: int, executed: int, memory_bytes: int | None) -> Any:
    return {"state": state, "queue": queue, "executed": executed, "memory_bytes": memory_bytes}


def test_gauges_are_sums_over_engines() -> None:
    pytest.importorskip("jupyter_server", reason="jupyter_server is not installed")
    from kernelfleet.server.metrics import gauges

    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for gauge in gauges([
            fleet("a", "running", row("busy", 2, 7, 100), row("dead", 0, 1, None)),
            fleet("b", "unreachable"),
        ])
        for sample in gauge.samples
    }  # fmt: skip
    assert shown == {
        ("kernelfleet_up", "a"): 1, ("kernelfleet_up", "b"): 0,
        ("kernelfleet_engines", "a", "busy"): 1, ("kernelfleet_engines", "a", "dead"): 1,
        ("kernelfleet_queue", "a"): 2, ("kernelfleet_queue", "b"): 0,
        ("kernelfleet_executed", "a"): 8, ("kernelfleet_executed", "b"): 0,
        ("kernelfleet_memory_bytes", "a"): 100, ("kernelfleet_memory_bytes", "b"): 0,
    }  # fmt: skip


def test_a_fleet_is_scraped_wherever_it_was_started(jupyter: JupyterServer) -> None:
    from kernelfleet import Fleet

    def scraped() -> str:
        return jupyter.get(f"{jupyter.url}metrics").text

    with Fleet(2, name="scraped") as mec:
        mec.execute("1")
        # (a scrape that comes within two seconds of another look has its figures)
        eventually(lambda: 'kernelfleet_executed{fleet="scraped"} 2.0' in scraped())
        text = scraped()
    assert 'kernelfleet_engines{fleet="scraped",state="idle"} 2.0' in text
    assert re.search(r'kernelfleet_memory_bytes\{fleet="scraped"\} \d', text)
    assert "http_request_duration_seconds" in text  # the server's own are there as ever


def test_who_has_no_token_sees_no_gauges(jupyter: JupyterServer) -> None:
    answer = jupyter.ask("GET", f"{jupyter.url}metrics", headers={})
    assert answer.status == 403
    assert "kernelfleet_" not in answer.text
