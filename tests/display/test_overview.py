"""A fleet on one page: rows, recent work, what runs, in any width and height."""

from __future__ import annotations

from kernelfleet import EngineInfo, EngineList, Span, Timeline
from kernelfleet.client.watching import Look
from kernelfleet.display.overview import page, summary

ENGINES = EngineList(
    [
        EngineInfo(
            id=0, state="busy", memory_bytes=40 * 2**20, queue=2, executed=3, cpu_percent=97.2,
            running="execute('f()\\n')", running_since=95.0,
        ),
        EngineInfo(id=1, state="idle", memory_bytes=30 * 2**20, cpu_percent=0.0),
        EngineInfo(id=2, state="dead"),
    ]
)  # fmt: skip
SPANS = [
    Span(0, "a", "execute('g()')", "execute", 40.0, 30.0),
    Span(0, "b", "execute('f()')", "execute", 70.0, 30.0, outcome="running"),
    Span(1, "c", "map(h) x4", "map", 40.0, 60.0, outcome="error"),
]


def look(engines: EngineList = ENGINES) -> Look:
    return Look(engines, Timeline(SPANS, [0, 1, 2]), 40.0, 100.0)


def test_each_engine_has_a_line_with_its_recent_work_and_what_it_runs() -> None:
    lines = page("Fleet 'x', up 5 s", look(), 120)
    assert lines[0] == "Fleet 'x', up 5 s: 2 engines, 1 busy, 1 dead, 2 waiting, 70 MiB, CPU 97 %"
    head, busy, idle, dead = (line.split() for line in lines[2:6])
    assert head[:7] == ["engine", "state", "CPU", "memory", "queue", "executed", "last"]
    assert busy[:8] == ["0", "busy", "97", "%", "40", "MiB", "2", "3"]
    assert busy[9:] == ["5", "s", "execute('f()\\n')"]
    assert set(busy[8]) == {"a", "c"}
    assert idle[8].strip("b!") == ""
    assert dead[:6] == ["2", "dead", "-", "-", "0", "0"]
    assert lines[6:] == [
        "a  execute('g()'): 30.0 s",
        "b  map(h): 1 min, 1 failed",
        "c  execute('f()'): 30.0 s, 1 running",
    ]


def test_no_line_is_wider_and_no_page_higher_than_there_is_room() -> None:
    for width in (40, 80, 200):
        for height in (5, 8, 12, 30):
            lines = page("Fleet 'x'", look(), width, height)
            assert len(lines) <= height
            assert max(map(len, lines)) <= width


def test_of_many_engines_a_part_is_shown_with_the_letters_of_all() -> None:
    many = EngineList([*ENGINES, *(EngineInfo(id=i, state="idle") for i in range(3, 100))])
    lines = page("x", look(many), 120, 20, first=1)
    assert lines[1] == "engines 1 to 14 of 100"
    assert lines[3].startswith("1 ")
    assert "b" in lines[3]
    assert page("x", look(many), 120, 20, first=1000)[1] == "engines 86 to 99 of 100"
    assert page("x", look(many), 120, 20, first=-5)[1] == "engines 0 to 13 of 100"


def test_code_cannot_move_the_cursor() -> None:
    evil = EngineList([EngineInfo(id=0, state="busy", running="execute('\x1b[2J')")])
    assert not any("\x1b" in line for line in page("x\x1b[2J", look(evil), 120))


def test_a_fleet_that_is_not_measured_has_no_sum() -> None:
    assert summary([EngineInfo(id=0, state="idle")]) == "1 engine, 0 busy, 0 waiting, 0 MiB"
