"""Timelines as text, as SVG and as HTML."""

from __future__ import annotations

import base64
import re
from xml.dom import minidom

from kernelfleet.display import timeline
from kernelfleet.display.timeline import COLOURS, FAILED, MAX_LANES
from kernelfleet.timeline import Span

SPANS = [
    Span(0, "a", "execute('f()')", "execute", 100.0, 6.0),
    Span(1, "a", "execute('f()')", "execute", 100.0, 3.0, outcome="error", error="E"),
    Span(1, "m", "map(<g>) x7", "map", 103.0, 1.0),
    Span(1, "m", "map(<g>) x9", "map", 104.0, 1.0, outcome="running"),
]


def test_text_has_a_letter_for_each_call_and_says_how_busy_each_engine_was() -> None:
    lanes, below = timeline.text(SPANS, [0, 1, 2], 12).split("\n    ")[0].split("\n"), ""
    below = timeline.text(SPANS, [0, 1, 2], 12)
    assert lanes == [
        "[0] aaaaaaaaaaaa 100%",
        "[1] aaaaa!bbbb··  83%",
        "[2] ············   0%",
    ]
    assert "6.00 s drawn" in below
    assert "  a execute('f()'): 2 times, 9.00 s, 1 failed" in below
    assert "  b map(<g>): 2 batches, 2.00 s, 1 running" in below


def test_nothing_is_said_in_words() -> None:
    assert timeline.text([], [0]) == timeline.NOTHING
    assert timeline.NOTHING in timeline.html([], [0])
    assert timeline.NOTHING in timeline.svg([], [0])


def test_the_picture_is_sound_xml_with_a_lane_for_each_engine() -> None:
    drawn = minidom.parseString(timeline.svg(SPANS, [0, 1, 2]))
    words = [node.firstChild.data for node in drawn.getElementsByTagName("text")]  # type: ignore[union-attr]
    assert words[0] == "3 engines, 6.00 s, busy 61%"
    assert [word for word in words if word.startswith("[")] == ["[0]", "[1]", "[2]"]
    assert "map(<g>): 2 batches, 2.00 s, 1 running" in words
    assert len(drawn.getElementsByTagName("rect")) == 2


def test_what_has_failed_is_marked_by_a_line_and_not_by_colour_alone() -> None:
    drawn = timeline.svg(SPANS, [0, 1])
    assert drawn.count(FAILED) == 1
    assert FAILED not in COLOURS
    assert FAILED not in timeline.svg(SPANS[:1], [0, 1])


def test_code_cannot_break_out_of_the_picture() -> None:
    evil = "execute('</text><script>\x00\x1b[31m\ud800\ufffe&')"
    drawn = timeline.svg([Span(0, "a", evil, "execute", 1.0, 1.0)], [0])
    minidom.parseString(drawn.encode())
    assert "<script" not in drawn


def test_html_is_an_image_that_needs_no_script_and_has_words_for_who_does_not_see_it() -> None:
    shown = timeline.html(SPANS, [0, 1])
    found = re.fullmatch(
        r"<img alt='Timeline: 2 engines, 6.00 s, busy 92%' style='[^']*' "
        r"src='data:image/svg\+xml;base64,([\w+/=]+)'>",
        shown,
    )
    assert found is not None
    assert base64.b64decode(found[1]).decode() == timeline.svg(SPANS, [0, 1])


def test_a_picture_of_much_work_stays_small() -> None:
    spans = [
        Span(engine, str(i % 40), f"execute('{i}')", "execute", i * 0.01, 0.009)
        for i in range(1000)
        for engine in range(200)
    ]
    assert len(timeline.html(spans, range(200))) < 1_500_000
    shown = timeline.text(spans, range(200))
    assert shown.count("%\n") == MAX_LANES
    assert "and 136 more engines" in shown
    assert "and 30 more calls with less work" in shown


def test_durations_have_three_digits_and_ticks_are_round() -> None:
    shown = [timeline.brief(each) for each in (0, 2e-5, 0.00123, 0.5, 9.87654, 59.9, 125)]
    assert shown == ["0 s", "20.0 µs", "1.23 ms", "500 ms", "9.88 s", "59.9 s", "2 min 5 s"]
    steps = [timeline.tick(each) for each in (0.0011, 0.3, 1.0, 6, 31, 100, 4000)]
    assert [round(step, 6) for step in steps] == [0.002, 0.5, 1.0, 10.0, 60.0, 120.0, 7200.0]
