"""Where spans are drawn: stretches of time, bars, calls."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from kernelfleet.display.lanes import MAX_CALLS, MAX_STRETCHES, Picture, picture, worse
from kernelfleet.timeline import Span


def span(
    start: float, seconds: float, engine: int = 0, call: str = "a", outcome: str = "ok"
) -> Span:
    return Span(engine, call, call, "execute", start, seconds, outcome=outcome)


def bars(drawn: Picture, lane: int = 0) -> list[tuple[float, float, int]]:
    return [(round(b.start, 3), round(b.end, 3), b.call) for b in drawn.lanes[lane].bars]


def test_a_span_takes_its_part_of_the_lane() -> None:
    drawn = picture([span(0, 4), span(5, 5, 1, "b")], [0, 1], 100)
    assert bars(drawn, 0) == [(0, 40, 0)]
    assert bars(drawn, 1) == [(50, 100, 1)]
    assert [lane.share for lane in drawn.lanes] == [0.4, 0.5]


def test_an_engine_without_work_has_an_empty_lane_and_others_have_none() -> None:
    drawn = picture([span(0, 4)], [3], 10)
    assert [(lane.engine, lane.bars, lane.share) for lane in drawn.lanes] == [(3, [], 0.0)]


def test_short_spans_of_one_call_become_one_bar_and_long_ones_do_not() -> None:
    short = [span(i * 0.01, 0.01) for i in range(100)]
    assert bars(picture(short, [0], 50)) == [(0, 50, 0)]
    long = [span(0, 1), span(1, 1)]
    assert bars(picture(long, [0], 10)) == [(0, 5, 0), (5, 10, 0)]


def test_a_short_span_can_be_seen() -> None:
    drawn = picture([span(0, 10), span(10, 1e-6, 1, "b")], [0, 1], 20)
    ((start, end, call),) = bars(drawn, 1)
    assert (end - start, call) == (1, 1)
    assert end <= 20


def test_long_times_without_work_are_cut_out() -> None:
    drawn = picture([span(0, 1), span(1.2, 1), span(3600, 2)], [0], 44, gap_cells=4)
    assert [(s.start, s.end) for s in drawn.stretches] == [(0, 2.2), (3600, 3602)]
    first, second = drawn.stretches
    assert (first.cell, second.cell + second.cells) == (0, 44)
    assert second.cell == first.cells + 4
    assert abs(first.cells - second.cells) <= 2
    assert drawn.seconds == 4.2


def test_work_of_another_engine_is_no_time_without_work() -> None:
    drawn = picture([span(0, 1), span(0, 100, 1), span(99, 1)], [0, 1], 50)
    assert len(drawn.stretches) == 1


def test_of_many_stretches_the_last_are_drawn_and_the_others_counted() -> None:
    spans = [span(i * 1000.0, 1) for i in range(MAX_STRETCHES + 3)]
    drawn = picture(spans, [0], 200)
    assert len(drawn.stretches) == MAX_STRETCHES
    assert drawn.earlier == 3
    assert drawn.calls[0].spans == MAX_STRETCHES


def test_a_window_is_drawn_whatever_there_is_in_it() -> None:
    drawn = picture([span(0, 1), span(50, 100)], [0], 10, window=(90, 100))
    assert bars(drawn) == [(0, 10, 0)]
    assert picture([], [0], 10, window=(0, 60)).lanes[0].share == 0.0


def test_the_calls_with_the_most_work_have_a_line_of_their_own() -> None:
    spans = [span(i, 0.1 * (i + 1), call=f"c{i}") for i in range(MAX_CALLS + 2)]
    drawn = picture(spans, [0], 100)
    assert [call.call for call in drawn.calls] == [f"c{i}" for i in range(2, MAX_CALLS + 2)]
    assert drawn.other_calls == 2
    assert drawn.lanes[0].bars[0].call == -1


def test_batches_of_a_map_are_one_call() -> None:
    spans = [Span(0, "m", f"map(f) x{n}", "map", n, 1.0) for n in range(3)]
    (call,) = picture(spans, [0], 30).calls
    assert (call.what, call.spans, call.seconds, call.batches) == ("map(f)", 3, 3.0, True)


def test_what_has_failed_is_counted_and_marks_its_bar() -> None:
    spans = [span(0, 0.01, outcome="ok"), span(0.01, 0.01, outcome="error"), span(0.02, 9)]
    drawn = picture(spans, [0], 10)
    assert (drawn.calls[0].failed, drawn.lanes[0].bars[0].outcome) == (1, "error")
    assert worse("ok", "interrupted") == "interrupted"
    assert worse("running", "lost") == "lost"


@example([(0.0, 5e-324, 0, "a")], 1)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e4), st.floats(0, 1e3), st.integers(0, 3), st.sampled_from("abc")),
        max_size=40,
    ),
    st.integers(1, 80),
)
def test_bars_lie_on_their_lane_in_order_and_are_no_more_than_cells(
    made: list[tuple[float, float, int, str]], cells: int
) -> None:
    spans = sorted((span(s, d, e, c) for s, d, e, c in made), key=lambda each: each.started)
    drawn = picture(spans, range(4), cells)
    for lane in drawn.lanes:
        assert 0.0 <= lane.share <= 1.0
        edges = [edge for bar in lane.bars for edge in (bar.start, bar.end)]
        assert edges == sorted(edges)
        assert len(lane.bars) <= max(cells, len(drawn.stretches)) + len(drawn.stretches)
        assert all(bar.end <= drawn.stretches[-1].cell + drawn.stretches[-1].cells + 1 + 1e-6
                   for bar in lane.bars)  # fmt: skip
    assert {span.engine for span in spans} == {lane.engine for lane in drawn.lanes if lane.bars}
