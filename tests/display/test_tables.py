"""The tables of engines: one place for columns, units and words."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from kernelfleet import EngineInfo, EngineList
from kernelfleet.display import tables

BUSY = EngineInfo(
    id=3,
    state="busy",
    pid=77,
    host="elsewhere",
    kernel_name="kernelfleet",
    python="3.11.7",
    executable="bin/python",
    memory_bytes=50 << 20,
    queue=2,
    executed=9,
    cpu_percent=97.4,
    running="execute('f()')",
    result_id="abc-1",
)


def test_a_row_has_the_words_and_units_of_all_tables() -> None:
    shown = tables.engine_table([replace(BUSY, started=time.time() - 61.2)])
    assert dict(zip(shown.columns, shown.rows[0], strict=True)) == {
        "engine": "3",
        "state": "busy",
        "pid": "77",
        "queue": "2",
        "executed": "9",
        "memory": "50 MiB",
        "CPU": "97 %",
        "up": "1 min 1 s",
        "result id": "abc-1",
        "running": "execute('f()')",
        "kernel": "kernelfleet",
        "Python": "3.11.7",
        "executable": "bin/python",
    }


def test_what_is_not_known_is_a_dash_and_what_no_engine_has_takes_no_column() -> None:
    shown = tables.engine_table([EngineInfo(id=0, state="dead")])
    assert not {"CPU", "result id", "running"} & set(shown.columns)
    assert shown.rows == [("0", "dead", "-", "0", "0", "-", "-", "-", "-", "-")]
    mixed = tables.engine_table([BUSY, EngineInfo(id=4, state="dead")])
    assert [row[mixed.columns.index("CPU")] for row in mixed.rows] == ["97 %", "-"]


def test_what_runs_is_cut_to_a_width_that_fits() -> None:
    long = EngineInfo(id=0, state="busy", running="execute('" + "x" * 200 + "')")
    shown = tables.engine_table([long])
    cell = shown.rows[0][shown.columns.index("running")]
    assert len(cell) == tables.MAX_LABEL
    assert cell.endswith("...")


def test_a_list_of_engines_shows_as_a_table_and_is_a_list() -> None:
    engines = EngineList([BUSY, EngineInfo(id=4, state="dead")])
    head, first, second = repr(engines).splitlines()
    assert head.split()[:3] == ["engine", "state", "pid"]
    assert first.split()[:3] == ["3", "busy", "77"]
    assert second.split()[:3] == ["4", "dead", "-"]
    assert engines._repr_html_().count("<tr>") == 3
    assert engines == [BUSY, engines[1]]
    assert isinstance(engines[:1], EngineList)
    assert repr(EngineList()).split()[0] == "engine"


def test_lines_of_a_table_have_no_blanks_at_their_ends() -> None:
    assert tables.as_text(("a", "long"), [("xyz", "1")]) == "a    long\nxyz  1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (9.9, "9 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (12000, "3 h 20 min"),
        (4 * 86400 + 3600, "4 d 1 h"),
    ],
)
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert tables.duration(seconds) == text


def test_a_long_uptime_is_measured_from_its_moment() -> None:
    assert tables.since(time.time() - 3700) == "1 h 1 min"
    assert tables.since(None) == "-"
