"""HTML for clients, results, pending results, errors and grids of pictures.

The HTML is static: inline style, no scripts. Trusted and untrusted notebooks, exported notebooks
and web pages show it alike. All text that comes from engines is escaped. Of the rich outputs of
engines only pictures are embedded, as ``<img>``, because an image cannot run anything.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol
from urllib.parse import quote

from kernelfleet.display import layout, tables
from kernelfleet.errors.text import format_ids

_MUTED = "opacity:.65"
_CELL = "text-align:left;padding:.1em .8em .1em 0;vertical-align:top;white-space:nowrap"
_FONT = "font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,1em)"
_PRE = f"margin:0;padding:0;background:none;white-space:pre-wrap;{_FONT}"
_ID = f"{_FONT};font-weight:bold"

#: How many engines of a long list are shown.
MAX_ROWS = 64

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_COLOURS = ("#555", "#c0392b", "#1e8449", "#9a7d0a", "#2471a3", "#884ea0", "#148f77", "inherit")


def engines(rows: Sequence[tables.EngineRow], *, head: str = "") -> str:
    """A table of engines.

    Args:
        rows: What is known of each.
        head: HTML that stands above the table.
    """
    shown = tables.engine_table(rows[:MAX_ROWS])
    return head + table(shown.columns, shown.rows, len(rows))


def fleet(name: str, found: Sequence[tables.EngineRow], defaults: str) -> str:
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
    """A text that is shown as it is."""
    return f"<div>{escape(text)}</div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], total: int) -> str:
    """A table of texts.

    Args:
        columns: The names of the columns.
        rows: The texts of the rows that are shown.
        total: How many rows there are; how many of them are not shown stands below the table.
    """
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


@dataclass(frozen=True)
class Command:
    """One command on one engine, as ``results`` shows it.

    Attributes:
        engine_id: The engine that ran it.
        number: The number of the command on that engine.
        code: The code as it was typed.
        outputs: Its Jupyter outputs, as dicts in the format of a notebook file.
        error: The type and the text of the exception that it raised; None if it raised none.
    """

    engine_id: int
    number: int
    code: str
    outputs: Sequence[dict[str, Any]]
    error: str | None = None


def results(commands: Sequence[Command]) -> str:
    """The input and the output of each engine; what several engines share is shown once."""
    parts: list[str] = []
    codes = {each.code for each in commands}
    if len(codes) == 1:
        ids = format_ids(each.engine_id for each in commands)
        parts.append(_line(f"[{ids}] In", next(iter(codes))))
    else:
        parts += [_line(f"[{each.engine_id}] In [{each.number}]", each.code) for each in commands]
    outputs = [(each.engine_id, list(each.outputs)) for each in commands]
    parts += [block(each) for each in layout.arrange(outputs)]
    for each in commands:
        if each.error is not None:
            parts.append(_line(f"[{each.engine_id}] Err [{each.number}]", each.error))
    return f"<div>{''.join(parts)}</div>"


def _line(label: str, text: str) -> str:
    shown = "\n".join(layout.bounded(text.rstrip("\n").split("\n"), 20))
    return (
        "<div style='display:flex;gap:.6em;align-items:baseline'>"
        f"<div style='{_ID};{_MUTED};white-space:nowrap'>{escape(label)}</div>"
        f"<pre style='{_PRE}'>{ansi(shown)}</pre></div>"
    )


def block(each: layout.Block) -> str:
    """One block of outputs; an output that is neither text nor a picture is shown as its text."""
    if isinstance(each, layout.Text):
        return f"<pre style='{_PRE}'>{ansi(chr(10).join(each.lines))}</pre>"
    if isinstance(each, layout.Grid):
        return grid(each.pictures)
    text = layout.joined(each.data.get("text/plain", ""))
    return f"<pre style='{_PRE}'>{ansi(text)}</pre>"


def grid(pictures: Iterable[layout.Picture]) -> str:
    """Pictures side by side, each below the ids of the engines that have drawn it."""
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
    """A call that has not ended, as ``pending`` shows it."""

    @property
    def method(self) -> str:
        """The verb that was called."""

    @property
    def targets(self) -> list[int]:
        """The ids of the engines that it was sent to."""

    @property
    def result_id(self) -> str | None:
        """The id with which another client finds the result; None if no client can."""


def pending(call: Pending, state: str, progress: tuple[int, int] | None) -> str:
    """State, engines, progress and result id of a call.

    Args:
        call: The call.
        state: One word: ``done``, ``failed``, ``pending``, ...
        progress: How many parts of it are done, and of how many; None does not say.
    """
    how_far = "" if progress is None else f", {progress[0]} of {progress[1]} done"
    found_by = f", result id <code>{escape(call.result_id)}</code>" if call.result_id else ""
    ids = escape(format_ids(call.targets))
    where = f" on engines <code>{ids}</code>" if ids else ""
    return (
        f"<div><b>{escape(call.method)}</b>{where}: {escape(state)}{how_far}{found_by}"
        f" <span style='{_MUTED}'>get it with .r or .result()</span></div>"
    )


def traceback(lines: Iterable[str]) -> str:
    """A traceback, with the colours that its lines have in a terminal."""
    return f"<pre style='{_PRE}'>{ansi(chr(10).join(lines))}</pre>"


def ansi(text: str) -> str:
    """Escaped text whose ANSI colours have become ``<span>`` elements."""
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
    """The CSS of one ANSI colour sequence.

    Of the 256-colour codes only the first sixteen, which are the basic colours, are shown.
    """
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
