"""How things look as HTML: the client, results, pending results, errors, grids of pictures.

Static HTML with inline style and without scripts, which trusted and untrusted notebooks, exports
and web pages show alike. Everything that comes from engines is escaped; of what they display only
pictures are embedded, as images, which cannot run anything.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from kernelfleet.display import layout, tables
from kernelfleet.errors.text import format_ids

if TYPE_CHECKING:
    from kernelfleet.errors.composite import CompositeError
    from kernelfleet.results import EngineInfo, ResultList

_MUTED = "opacity:.65"
_CELL = "text-align:left;padding:.1em .8em .1em 0;vertical-align:top;white-space:nowrap"
_FONT = "font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,1em)"
_PRE = f"margin:0;padding:0;background:none;white-space:pre-wrap;{_FONT}"
_ID = f"{_FONT};font-weight:bold"

#: How many engines of a long list are shown.
MAX_ROWS = 64

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_COLOURS = ("#555", "#c0392b", "#1e8449", "#9a7d0a", "#2471a3", "#884ea0", "#148f77", "inherit")


def engines(rows: Sequence[EngineInfo], *, head: str = "") -> str:
    """A table of engines.

    Args:
        rows: What is known of each.
        head: HTML that stands above the table.
    """
    shown = tables.engine_table(rows[:MAX_ROWS])
    return head + table(shown.columns, shown.rows, len(rows))


def fleet(name: str, found: Sequence[EngineInfo], defaults: str) -> str:
    """The engines of a fleet, under its name and a client's defaults."""
    count = sum(engine.state != "dead" for engine in found)
    engines_of = "1 engine" if count == 1 else f"{count} engines"
    return engines(
        found,
        head=(
            f"<div><b>{engines_of}</b> of fleet <code>{escape(str(name))}</code>"
            f" <span style='{_MUTED}'>{escape(defaults)}</span></div>"
        ),
    )


def plain(text: str) -> str:
    """A text that has no other form."""
    return f"<div>{escape(text)}</div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], total: int) -> str:
    """A table of texts."""
    head = "".join(f"<th style='{_CELL}'>{escape(name)}</th>" for name in columns)
    body = []
    for row in rows:
        cells = "".join(f"<td style='{_CELL}'>{escape(cell)}</td>" for cell in row)
        body.append(f"<tr>{cells}</tr>")
    more = f"<div style='{_MUTED}'>and {total - len(body)} more</div>" if total > len(body) else ""
    return (
        f"<table style='border-collapse:collapse'><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>{more}"
    )


def results(found: ResultList) -> str:
    """Input and output of each engine; what is identical is shown once."""
    from kernelfleet.errors.tree import error_text

    parts: list[str] = []
    codes = {each["input"]["raw"] for each in found}
    if len(codes) == 1:
        ids = format_ids(each["id"] for each in found)
        parts.append(_line(f"[{ids}] In", next(iter(codes))))
    else:
        parts += [_line(f"[{r['id']}] In [{r['number']}]", r["input"]["raw"]) for r in found]
    outputs = [(each["id"], _with_lost_text(each)) for each in found]
    parts += [block(each) for each in layout.arrange(outputs)]
    for each in found:
        if each.error is not None:
            parts.append(_line(f"[{each['id']}] Err [{each['number']}]", error_text(each.error)))
    return f"<div>{''.join(parts)}</div>"


def _with_lost_text(result: Any) -> list[dict[str, Any]]:
    """The outputs, or the printed text alone where there are none (they were cleared)."""
    if result.outputs:
        return list(result.outputs)
    return [
        {"output_type": "stream", "name": name, "text": text}
        for name in ("stdout", "stderr")
        if (text := getattr(result, name))
    ]


def _line(label: str, text: str) -> str:
    shown = "\n".join(layout.bounded(text.rstrip("\n").split("\n"), 20))
    return (
        "<div style='display:flex;gap:.6em;align-items:baseline'>"
        f"<div style='{_ID};{_MUTED};white-space:nowrap'>{escape(label)}</div>"
        f"<pre style='{_PRE}'>{ansi(shown)}</pre></div>"
    )


def block(each: layout.Block) -> str:
    """One block of outputs; what is neither text nor picture as its text."""
    if isinstance(each, layout.Text):
        return f"<pre style='{_PRE}'>{ansi(chr(10).join(each.lines))}</pre>"
    if isinstance(each, layout.Grid):
        return grid(each.pictures)
    text = layout.joined(each.data.get("text/plain", ""))
    return f"<pre style='{_PRE}'>{ansi(text)}</pre>"


def grid(pictures: Iterable[layout.Picture]) -> str:
    """Pictures side by side, each under its engines."""
    figures = []
    for picture in pictures:
        size = "".join(
            f" {side}='{int(value)}'"
            for side in ("width", "height")
            if isinstance(value := picture.metadata.get(side), int | float)
        )
        figures.append(
            "<figure style='margin:0 .8em .8em 0;display:inline-block'>"
            f"<figcaption style='{_ID}'>{escape(layout.prefix(picture.ids).strip())}</figcaption>"
            f"<img style='max-width:100%' alt='{escape(picture.text, quote=True)}'{size} "
            f"src='{_data_uri(picture)}'></figure>"
        )
    return f"<div style='display:flex;flex-wrap:wrap'>{''.join(figures)}</div>"


def _data_uri(picture: layout.Picture) -> str:
    if picture.mime == "image/svg+xml":
        return f"data:image/svg+xml,{quote(picture.content)}"
    raw = re.sub(r"\s", "", picture.content)
    try:
        base64.b64decode(raw, validate=True)
    except ValueError:
        return "data:,"
    return f"data:{picture.mime};base64,{raw}"


class Pending(Protocol):
    """What is shown of a call under way."""

    @property
    def method(self) -> str:
        """The verb."""

    @property
    def targets(self) -> list[int]:
        """The engines."""

    @property
    def result_id(self) -> str | None:
        """The id that finds it again; None if nothing does."""


def pending(call: Pending, state: str, progress: tuple[int, int] | None) -> str:
    """State, engines and progress of a call under way, and the id that finds it again."""
    how_far = "" if progress is None else f", {progress[0]} of {progress[1]} done"
    found_by = f", result id <code>{escape(call.result_id)}</code>" if call.result_id else ""
    ids = escape(format_ids(call.targets))
    where = f" on engines <code>{ids}</code>" if ids else ""
    return (
        f"<div><b>{escape(call.method)}</b>{where}: {escape(state)}{how_far}{found_by}"
        f" <span style='{_MUTED}'>get it with .r or .result()</span></div>"
    )


def error(raised: CompositeError) -> str:
    """The traceback as it is shown when raised."""
    text = "\n".join(raised._render_traceback_())
    return f"<pre style='{_PRE}'>{ansi(text)}</pre>"


def ansi(text: str) -> str:
    """Escaped text, its colours as HTML."""
    parts, opened, end = [], False, 0
    for match in _SGR.finditer(text):
        parts.append(escape(text[end : match.start()], quote=False))
        end = match.end()
        if opened:
            parts.append("</span>")
        style = _style(match.group(1))
        opened = bool(style)
        if style:
            parts.append(f"<span style='{style}'>")
    parts.append(escape(text[end:], quote=False))
    return "".join(parts) + ("</span>" if opened else "")


def _style(codes: str) -> str:
    """The style of one colour sequence; 256-colour codes by their base colour, if they have one."""
    numbers = [int(code) for code in codes.split(";") if code]
    style = []
    if 38 in numbers[:1] and len(numbers) == 3 and numbers[2] < 16:
        numbers = [30 + numbers[2] % 8]
    elif 38 in numbers[:1]:
        return ""
    for number in numbers:
        if number == 1:
            style.append("font-weight:bold")
        elif 30 <= number <= 37 or 90 <= number <= 97:
            style.append(f"color:{_COLOURS[number % 10]}")
    return ";".join(style)
