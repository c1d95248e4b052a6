"""A timeline as text, as SVG and as static HTML: a lane for each engine, a bar for each span.

The HTML holds the picture as an ``<img>``, which needs no script, and which notebooks show also
when they are not trusted. Its colours are readable on light and on dark ground, and what has failed
is marked by a line as well, not by colour alone.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Sequence
from html import escape
from math import ceil, floor, log10

from kernelfleet.display.lanes import Bar, Lane, Picture, SpanLike, Stretch, picture
from kernelfleet.display.layout import printable
from kernelfleet.display.tables import cut, duration

#: So many lanes are drawn.
MAX_LANES = 64
#: Colours that people with any kind of colour vision can tell apart, readable on light and on dark.
COLOURS = (
    "#4878cf", "#e8873a", "#3f9e6b", "#b05bb5", "#c9a227",
    "#3aa5b8", "#d1627f", "#8a6d5a", "#7d7fd6", "#7a9a3c",
)  # fmt: skip
OTHER_COLOUR = "#8c8c8c"
INK = "#808080"
FAILED = "#d62728"
#: The letters that stand for calls in the text.
LETTERS = "abcdefghijklmnopqrstuvwxyz"
#: What stands for time without work, for a call without a line of its own, and for a failure.
IDLE, OTHER, BAD = "·", "*", "!"
TEXT_CELLS = 60
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NOTHING = "no work of these engines is known"


# -- text -------------------------------------------------------------------------------------


def text(
    spans: Sequence[SpanLike],
    engines: Sequence[int],
    cells: int = TEXT_CELLS,
    *,
    window: tuple[float, float] | None = None,
    lanes: int = MAX_LANES,
) -> str:
    """The timeline as lines of text.

    Args:
        spans: In the order in which they began.
        engines: The engines that have a lane.
        cells: How many characters a lane has.
        window: The time that is drawn; None draws what the spans need.
        lanes: How many lanes are drawn at most.
    """
    if not spans and window is None:
        return NOTHING
    drawn = picture(spans, engines[:lanes], cells, window=window)
    width = max((len(f"[{lane.engine}]") for lane in drawn.lanes), default=0)
    lines = [f"{f'[{lane.engine}]':>{width}} {lane_text(lane, drawn)}" for lane in drawn.lanes]
    if len(engines) > lanes:
        lines.append(f"{'':{width}} and {len(engines) - lanes} more engines")
    lines.append(f"{'':{width}} {scale_text(drawn)}")
    for letter, line in zip(LETTERS, legend(drawn), strict=False):
        lines.append(f"{letter:>{width}} {line}")
    return "\n".join([*lines, *notes(drawn)])


def lane_text(lane: Lane, drawn: Picture) -> str:
    """A lane in characters, and how busy the engine was."""
    row = [" "] * drawn.cells
    for each in drawn.stretches:
        row[each.cell : each.cell + each.cells] = IDLE * each.cells
    for bar in lane.bars:
        letter = LETTERS[bar.call] if 0 <= bar.call < len(LETTERS) else OTHER
        for cell in range(floor(bar.start), min(ceil(bar.end - 1e-6), drawn.cells)):
            if row[cell] == IDLE:
                row[cell] = letter
        if is_bad(bar):
            row[min(max(floor(bar.start), ceil(bar.end) - 1), drawn.cells - 1)] = BAD
    return f"{''.join(row)} {lane.share:4.0%}"


def is_bad(bar: Bar) -> bool:
    """Whether something of it has failed."""
    return bar.outcome not in ("ok", "running")


def scale_text(drawn: Picture) -> str:
    """The line below the lanes: when each stretch began, and how long all are together."""
    row = [" "] * drawn.cells
    for each in drawn.stretches:
        began = clock(each.start)
        if each.cells > len(began) or each is drawn.stretches[0]:
            row[each.cell : each.cell + len(began)] = began
    return f"{''.join(row)[: drawn.cells].rstrip()}  {brief(drawn.seconds)} drawn".strip()


def clock(moment: float) -> str:
    """The time of day: ``14:05:09``."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def brief(seconds: float) -> str:
    """A duration with three digits: ``1.23 ms``, ``45.6 s``; longer ones in words."""
    if seconds >= 60:
        return duration(seconds)
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            value = seconds / size
            return f"{value:.{max(0, 2 - floor(log10(value)))}f} {unit}"
    return "0 s"


def legend(drawn: Picture) -> list[str]:
    """A line for each call: what it is, and how much work it was."""
    lines = []
    for call in drawn.calls:
        several = f"{call.spans:,} {'batches' if call.batches else 'times'}"
        parts = [several if call.spans > 1 else "", brief(call.seconds)]
        parts.append(f"{call.failed} failed" if call.failed else "")
        parts.append(f"{call.running} running" if call.running else "")
        what = cut(printable(call.what), 60)
        lines.append(f"{what}: {', '.join(filter(None, parts))}")
    return lines


def notes(drawn: Picture) -> list[str]:
    """What is not drawn."""
    found = []
    if drawn.other_calls:
        found.append(f"and {drawn.other_calls:,} more calls with less work")
    if drawn.earlier:
        found.append(f"{drawn.earlier:,} earlier spans are not drawn: timeline(last=SECONDS)")
    return found


# -- SVG --------------------------------------------------------------------------------------

LEFT, WIDTH, RIGHT = 46, 640, 48
LANE, BAR, HEAD, AXIS, LINE = 16, 12, 20, 22, 15
GAP_CELLS = 18


def svg(spans: Sequence[SpanLike], engines: Sequence[int]) -> str:
    """The timeline as a picture, as the text of an SVG file."""
    lanes = engines[:MAX_LANES]
    drawn = picture(spans, lanes, WIDTH, gap_cells=GAP_CELLS)
    below = [*legend(drawn), *notes(drawn)]
    if len(engines) > len(lanes):
        below.append(f"and {len(engines) - len(lanes)} more engines")
    bottom = HEAD + LANE * len(drawn.lanes)
    height = bottom + AXIS + LINE * len(below) + 4
    width = LEFT + WIDTH + RIGHT
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='11' fill='{INK}'>",
        f"<title>{_in_xml(headline(drawn))}</title>",
        _label(0, 12, headline(drawn)),
    ]
    for number, lane in enumerate(drawn.lanes):
        top = HEAD + LANE * number
        parts.append(_label(LEFT - 6, top + 11, f"[{lane.engine}]", anchor="end"))
        parts.append(_label(LEFT + WIDTH + 6, top + 11, f"{lane.share:.0%}"))
        parts += _bars(lane.bars, top + (LANE - BAR) // 2)
    parts += [_axis(each, bottom) for each in drawn.stretches]
    for number, line in enumerate(below):
        y = bottom + AXIS + LINE * number
        if number < len(drawn.calls):
            colour = COLOURS[number % len(COLOURS)]
            parts.append(f"<rect x='{LEFT}' y='{y}' width='10' height='10' fill='{colour}'/>")
        parts.append(_label(LEFT + 16, y + 9, line))
    return "".join([*parts, "</svg>"])


def headline(drawn: Picture) -> str:
    """What stands above the picture."""
    if not drawn.stretches:
        return NOTHING
    count = len(drawn.lanes)
    share = sum(lane.share for lane in drawn.lanes) / max(1, count)
    engines = "1 engine" if count == 1 else f"{count} engines"
    return f"{engines}, {brief(drawn.seconds)}, busy {share:.0%}"


def _label(x: float, y: float, words: str, anchor: str = "") -> str:
    where = f" text-anchor='{anchor}'" if anchor else ""
    return f"<text x='{x:g}' y='{y:g}'{where}>{_in_xml(words)}</text>"


def _in_xml(words: str) -> str:
    """A text as XML; code may hold characters that no XML file can have."""
    return escape(_NOT_IN_XML.sub("?", words), quote=False)


def _bars(bars: Iterable[Bar], y: int) -> list[str]:
    """The bars of a lane: one path per colour, as a lane may have hundreds of bars."""
    paths: dict[str, list[str]] = {}
    marks: list[str] = []
    for bar in bars:
        colour = COLOURS[bar.call % len(COLOURS)] if bar.call >= 0 else OTHER_COLOUR
        width = bar.end - bar.start
        shown = width - 0.6 if width > 3 else width
        paths.setdefault(colour, []).append(
            f"M{LEFT + bar.start:.1f} {y}h{shown:.1f}v{BAR}h-{shown:.1f}z"
        )
        if is_bad(bar):
            marks.append(f"M{LEFT + bar.end - 1:.1f} {y - 1}v{BAR + 2}")
    drawn = [f"<path fill='{colour}' d='{''.join(path)}'/>" for colour, path in paths.items()]
    if marks:
        drawn.append(f"<path stroke='{FAILED}' stroke-width='2' d='{''.join(marks)}'/>")
    return drawn


def _axis(stretch: Stretch, y: int) -> str:
    """The line below a stretch, with ticks, and the time of day at which it began."""
    start, cells = LEFT + stretch.cell, stretch.cells
    seconds = stretch.end - stretch.start
    lines, labels = [f"M{start} {y}h{cells}"], []
    words = clock(stretch.start)
    if stretch.cell == 0 or cells > 60:
        labels.append(_label(start, y + 14, words))
    step = tick(seconds * 70 / cells) if seconds else 0.0
    at = step
    while step and at < seconds:
        x = start + at / seconds * cells
        lines.append(f"M{x:.1f} {y}v4")
        if x > start + 60:
            labels.append(_label(x, y + 14, f"+{_round(at)}", anchor="middle"))
        at += step
    return f"<path stroke='{INK}' fill='none' d='{''.join(lines)}'/>{''.join(labels)}"


def _round(seconds: float) -> str:
    """A round time: ``1.5 s``, where ``brief`` has ``1.50 s``."""
    return re.sub(r"\.0+ |(\.\d*?)0+ ", r"\1 ", brief(seconds))


def tick(least: float) -> float:
    """A round time of at least so many seconds: 1, 2 or 5 times a power of ten, or minutes."""
    for step in (60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0):
        if least > 30 and step >= least:
            return step
    power = 10.0 ** floor(log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999)


def html(spans: Sequence[SpanLike], engines: Sequence[int]) -> str:
    """The picture in a page; as text for whoever does not see it."""
    if not spans:
        return f"<div>{NOTHING}</div>"
    data = base64.b64encode(svg(spans, engines).encode()).decode()
    said = escape(headline(picture(spans, engines[:MAX_LANES], WIDTH)), quote=True)
    return (
        f"<img alt='Timeline: {said}' style='max-width:100%' "
        f"src='data:image/svg+xml;base64,{data}'>"
    )
