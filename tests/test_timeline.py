"""Timelines as values: lists of spans, slices, sums, and the way to pandas."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from kernelfleet import Span, Timeline

EARLY = Span(1, "a", "execute('f()')", "execute", started=100.0, seconds=0.5)
LATE = Span(0, "b", "map(f) x3", "map", started=101.0, seconds=0.25, outcome="error", error="E")


def test_spans_are_in_the_order_in_which_they_began() -> None:
    assert list(Timeline([LATE, EARLY])) == [EARLY, LATE]


def test_engines_that_did_nothing_have_a_lane_and_those_with_spans_have_one_anyway() -> None:
    assert Timeline([EARLY, LATE], [2, 1]).engines == [0, 1, 2]
    assert Timeline([EARLY], [0, 1]).busy() == {0: 0.0, 1: 0.5}


def test_a_slice_is_a_timeline_with_the_same_lanes() -> None:
    first = Timeline([EARLY, LATE], [0, 1, 2])[:1]
    assert isinstance(first, Timeline)
    assert (list(first), first.engines) == ([EARLY], [0, 1, 2])
    assert Timeline([EARLY, LATE])[1] is LATE


def test_a_span_comes_from_the_wire_without_what_a_newer_version_adds() -> None:
    row = {"engine": 1, "call": "a", "what": "w", "operation": "push", "started": 1.0}
    span = Span.from_wire({**row, "seconds": 2.0, "number": 7, "planet": "Mars"})
    assert (span.engine, span.completed, span.outcome, span.error) == (1, 3.0, "ok", "")


def test_a_data_frame_has_a_row_for_each_span() -> None:
    pd = pytest.importorskip("pandas")
    frame = Timeline([EARLY, LATE]).to_pandas()
    assert list(frame["what"]) == ["execute('f()')", "map(f) x3"]
    assert frame["completed"][1] - frame["started"][0] == pd.Timedelta(seconds=1.25)
    assert list(Timeline().to_pandas().columns) == list(frame.columns)


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        Timeline([EARLY]).to_pandas()


def test_it_shows_as_text_as_a_picture_and_as_html() -> None:
    shown: Any = Timeline([EARLY, LATE])
    assert "execute('f()'): 500 ms" in repr(shown)
    assert shown.to_svg().startswith("<svg ")
    assert shown._repr_html_().startswith("<img alt='Timeline: 2 engines, 1.25 s, ")
