"""The final form of the outputs of a cell that several engines have run.

Identical outputs are shown once, pictures stand in a grid, and long texts are shortened. Pure:
Jupyter outputs in, blocks out, in the order in which they are shown. If all engines have put out
the same kinds of things, as far as each of them got, the first outputs of all engines come first,
then the second ones, and so on. Otherwise one engine comes after the other.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelfleet.display.transcript import fold_returns
from kernelfleet.errors.text import format_ids, without_colours

Output = dict[str, Any]

#: At most so many lines of one output are shown: half from the start, half from the end.
MAX_LINES = 200
#: At most so many characters of one output are shown, for texts of few and long lines.
MAX_CHARACTERS = 40_000
#: Many outputs share so many lines, but each has at least the second number.
MAX_LINES_TOGETHER = 2000
MIN_LINES = 10

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")

#: MIME types of widgets. They cannot be shown without the engine's process that made them.
_LIVE_ONLY = (
    "application/vnd.jupyter.widget-view+json",
    "application/vnd.jupyter.widget-state+json",
)


#: Stands below outputs among which were widgets.
WIDGETS_ARE_NOT_LIVE = "(widgets of engines are shown as text here: they are not live)"

_STREAMS = ("stdout", "stderr")

_CONTROLS = dict.fromkeys((*range(32), 127))


@dataclass(frozen=True)
class Text:
    """Lines of text, each of which begins with its engines."""

    lines: list[str]


@dataclass(frozen=True)
class Rich:
    """One output of one or more engines that is more than text.

    Attributes:
        ids: The engines.
        data: The output by MIME type, as in a Jupyter display.
        metadata: Its metadata, as in a Jupyter display.
    """

    ids: list[int]
    data: dict[str, Any]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """One picture of one or more engines.

    Attributes:
        ids: The engines.
        mime: Its MIME type.
        content: The picture as text: base64, or the source of an SVG.
        text: What is shown if the picture is not.
        metadata: Its metadata, such as width and height.
    """

    ids: list[int]
    mime: str
    content: str
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """Pictures side by side."""

    pictures: list[Picture]


Block = Text | Rich | Grid


@dataclass
class _Item:
    """One output of one engine, or of several whose outputs are identical."""

    kind: str  # 'stdout', 'stderr', 'value' or 'display'
    text: str
    data: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    number: int | None = None
    is_live: bool = False
    ids: list[int] = field(default_factory=list)

    @property
    def key(self) -> str:
        return json.dumps([self.kind, self.text, self.data], sort_keys=True, default=str)

    @property
    def picture(self) -> str | None:
        return next((mime for mime in PICTURES if mime in self.data), None)

    @property
    def is_rich(self) -> bool:
        return bool(self.data.keys() - {"text/plain"})


def arrange(
    outputs: Sequence[tuple[int, Sequence[Output]]],
    *,
    collapse: bool = True,
    shorten: bool = True,
) -> list[Block]:
    """The blocks to show for the outputs of each target.

    Args:
        outputs: Engine ids and their outputs, in the order of the targets.
        collapse: Whether outputs that are identical on several engines are shown once.
        shorten: Whether the middle of a long text is left out; False if the reader pages it.

    Returns:
        The blocks, in the order in which they are shown.
    """
    targets = [(engine_id, _items(each)) for engine_id, each in outputs]
    targets = _with_equal_streams([(engine_id, items) for engine_id, items in targets if items])
    columns = _columns([items for _, items in targets])
    if collapse and columns is not None:
        for target in targets:
            _tagged(*target)
        ordered = [item for column in columns for item in _grouped(column)]
    elif collapse:
        ordered = _by_engine(targets)
    else:
        ordered = [item for target in targets for item in _tagged(*target)]
    limit = max(MIN_LINES, min(MAX_LINES, MAX_LINES_TOGETHER // max(1, len(ordered))))
    blocks = _blocks(ordered, limit if shorten else None)
    if any(item.is_live for item in ordered):
        _add_lines(blocks, [WIDGETS_ARE_NOT_LIVE])
    return blocks


def _with_equal_streams(targets: list[tuple[int, list[_Item]]]) -> list[tuple[int, list[_Item]]]:
    """Make the items of engines that have printed the same text the same.

    The output of a child process arrives in arbitrary pieces, so stdout and stderr are interleaved
    differently on each engine. If two engines differ only in that, what was printed between two
    other outputs is made one text of stdout and one of stderr.
    """
    forms: dict[str, set[str]] = {}
    merged = [_merged(items) for _, items in targets]
    keys = [json.dumps([item.key for item in items]) for items in merged]
    for key, (_, items) in zip(keys, targets, strict=True):
        forms.setdefault(key, set()).add(json.dumps([item.key for item in items]))
    return [
        (engine_id, together if len(forms[key]) > 1 else items)
        for (engine_id, items), together, key in zip(targets, merged, keys, strict=True)
    ]


def _merged(items: Iterable[_Item]) -> list[_Item]:
    """Join neighbouring texts of each stream; that of stdout comes first."""
    merged: list[_Item] = []
    for is_stream, run in itertools.groupby(items, lambda item: item.kind in _STREAMS):
        if not is_stream:
            merged += run
            continue
        texts = dict.fromkeys(_STREAMS, "")
        for item in run:
            texts[item.kind] += item.text
        merged += [_Item(kind, text) for kind, text in texts.items() if text]
    return merged


def _columns(rows: Sequence[list[_Item]]) -> list[list[_Item]] | None:
    """The first outputs of all engines, their second ones, and so on.

    An engine may have fewer outputs than the others, if it failed or was interrupted.

    Returns:
        The columns; None if the outputs in a column are of different kinds.
    """
    columns = [
        [item for item in column if item is not None] for column in itertools.zip_longest(*rows)
    ]
    alike = all(len({item.kind for item in column}) == 1 for column in columns)
    return columns if alike else None


def _items(outputs: Iterable[Output]) -> list[_Item]:
    """The outputs of one engine that are shown; its error is shown as an exception instead."""
    items = []
    for output in outputs:
        kind = output.get("output_type")
        if kind == "stream":
            text = fold_returns(str(output.get("text", "")))
            if text.strip("\n"):
                items.append(_Item(str(output.get("name", "stdout")), text))
        elif kind in ("display_data", "execute_result"):
            whole = output.get("data", {})
            data = without_widgets(whole)
            is_live = data != whole
            if data:
                text = joined(data.get("text/plain", ""))
                items.append(
                    _Item(
                        "value" if kind == "execute_result" else "display",
                        text, data, dict(output.get("metadata") or {}),
                        output.get("execution_count"), is_live,
                    )
                )  # fmt: skip
    return items


def without_widgets(data: dict[str, Any]) -> dict[str, Any]:
    """The data of a display without what only a live widget can show; never less than a text."""
    kept = {mime: value for mime, value in data.items() if mime not in _LIVE_ONLY}
    return kept if kept or not data else {"text/plain": "(a widget)"}


def joined(text: Any) -> str:
    """A text that a Jupyter message may also give as a list of lines."""
    return text if isinstance(text, str) else "".join(map(str, text))


def _tagged(engine_id: int, items: list[_Item]) -> list[_Item]:
    for item in items:
        item.ids = [engine_id]
    return items


def _grouped(items: Iterable[_Item]) -> list[_Item]:
    groups: dict[str, _Item] = {}
    for item in items:
        first = groups.setdefault(item.key, item)
        if first is not item:
            first.ids += item.ids
            if first.number != item.number:
                first.number = None
    return list(groups.values())


def _by_engine(targets: list[tuple[int, list[_Item]]]) -> list[_Item]:
    """The outputs of one engine after the other; engines with identical outputs share them."""
    groups: dict[str, list[_Item]] = {}
    for engine_id, items in targets:
        key = json.dumps([item.key for item in items])
        first = groups.setdefault(key, items)
        for item in first:
            item.ids.append(engine_id)
    return [item for items in groups.values() for item in items]


def _blocks(items: Iterable[_Item], limit: int | None) -> list[Block]:
    blocks: list[Block] = []
    for item in items:
        mime = item.picture
        if mime is not None:
            picture = Picture(
                item.ids, mime, joined(item.data[mime]), item.text,
                item.metadata.get(mime) or item.metadata,
            )  # fmt: skip
            if not blocks or not isinstance(blocks[-1], Grid):
                blocks.append(Grid([]))
            assert isinstance(blocks[-1], Grid)
            blocks[-1].pictures.append(picture)
        elif item.is_rich:
            _add_lines(blocks, [_label(item)])
            blocks.append(Rich(item.ids, item.data, item.metadata))
        else:
            _add_lines(blocks, _lines(item, limit))
    return blocks


def _add_lines(blocks: list[Block], lines: list[str]) -> None:
    if blocks and isinstance(blocks[-1], Text):
        blocks[-1].lines.extend(lines)
    else:
        blocks.append(Text(lines))


def _label(item: _Item) -> str:
    """The line above an output that is more than text: ``[0-3] Out[4]:``."""
    if item.kind == "value":
        number = "" if item.number is None else f"[{item.number}]"
        return f"{prefix(item.ids)}Out{number}:"
    return f"{prefix(item.ids)}shows:"


def prefix(ids: Iterable[int], stream: str = "stdout") -> str:
    """What a line begins with: ``[0-3] ``, or ``[0-3 stderr] ``."""
    return f"[{format_ids(ids)}{' stderr' if stream == 'stderr' else ''}] "


def _lines(item: _Item, limit: int | None) -> list[str]:
    lines = item.text.removesuffix("\n").split("\n")
    if limit is not None:
        lines = bounded(lines, limit)
    if item.kind == "value":
        head = _label(item) + " "
        if len(lines) > 1:
            return [head.rstrip(), *lines]
        return [head + lines[0]]
    start = prefix(item.ids, item.kind)
    return [start + line for line in lines]


def bounded(lines: list[str], limit: int = MAX_LINES) -> list[str]:
    """The beginning and the end of a long text; a line between them says how much is left out.

    Args:
        lines: The lines of the text.
        limit: How many lines are kept.
    """
    half = max(1, limit // 2)
    if len(lines) > 2 * half + 1:
        left_out = len(lines) - 2 * half
        lines = [*lines[:half], _gap(f"{left_out:,} lines"), *lines[-half:]]
    most = max(200, MAX_CHARACTERS // len(lines))
    return [_bounded_line(line, most) if len(line) > most else line for line in lines]


def _bounded_line(line: str, most: int) -> str:
    half = most // 2
    return line[:half] + _gap(f"{len(line) - 2 * half:,} characters") + line[-half:]


def _gap(what: str) -> str:
    return f" ... {what} left out here; the result has the whole text ... "


def printable(line: str) -> str:
    """A line without colour codes and control characters, which would move the cursor."""
    return without_colours(line).replace("\t", "    ").translate(_CONTROLS)
