"""What several engines have put out as one MIME bundle, with a tab per engine where that is known.

JupyterLab, with kernelfleet's extension, shows ``application/vnd.kernelfleet.engines+json``: the
collapsed form, and a tab for each engine. Every other front end shows the text or the HTML beside
it, which is the collapsed form. ``docs/architecture.md`` has the format.

A saved notebook does not grow needlessly. There is no such bundle if all engines have put out the
same, or if only one has put out anything, because tabs would add nothing. Pictures are in the HTML
alone, and the tabs refer to them there. Text and tables are in the bundle twice, so if they are
large there are no tabs.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kernelfleet.display import html, layout
from kernelfleet.display.layout import Block, Grid, Output, Rich, Text
from kernelfleet.display.transcript import fold_returns

MIME_TYPE = "application/vnd.kernelfleet.engines+json"
VERSION = 1
#: If the outputs without their pictures take more than this, there are no tabs.
LARGE_BYTES = 128 * 1024
#: What the HTML can show as well as a front end would; other types have displays of their own.
_STATIC = frozenset({"text/plain", "text/html", *layout.PICTURES})

#: HTML that a sanitizer would take something away from. (A table of pandas has a scoped style.)
_ALIVE = re.compile(r"<(script|iframe|object|embed|form|input|video|audio|link|style(?! scoped))")


def of_engines(
    outputs: Sequence[tuple[int, Sequence[Output]]], blocks: Sequence[Block]
) -> dict[str, Any] | None:
    """The bundle for the outputs of a call; None if they are shown without tabs.

    Args:
        outputs: Engine ids and their outputs, in the order of the targets.
        blocks: The collapsed form of the same outputs.
    """
    if not blocks or len({engine for engine, _ in outputs}) != len(outputs):
        return None
    engines = [{"engine": engine, "items": _items(each)} for engine, each in outputs]
    shown = {json.dumps(each["items"], sort_keys=True, default=str) for each in engines}
    if len(shown) < 2 or sum(1 for each in engines if each["items"]) < 2:
        return None
    if any(isinstance(block, Rich) and not _is_static(block.data) for block in blocks):
        return None
    collapsed = _collapsed(blocks, engines)
    if collapsed is None:
        return None
    data: dict[str, Any] = {
        "text/plain": "\n".join(line for each in blocks for line in as_lines(each))
    }
    if not all(isinstance(block, Text) for block in blocks):
        data["text/html"] = "".join(map(_as_html, blocks))
        _refer_to_pictures(engines, blocks)
    tabs = {"version": VERSION, "engines": engines, "collapsed": collapsed}
    if len(json.dumps(tabs, default=str)) > LARGE_BYTES:
        return None
    return {MIME_TYPE: tabs, **data}


def as_lines(block: Block) -> list[str]:
    """A block as lines of text."""
    if isinstance(block, Text):
        return block.lines
    if isinstance(block, Grid):
        return [f"{layout.prefix(each.ids)}{each.text}" for each in block.pictures]
    return layout.joined(block.data.get("text/plain", "")).split("\n")


def _is_static(data: Mapping[str, Any]) -> bool:
    """Whether its HTML shows all of it, also without scripts and frames."""
    text = layout.joined(data.get("text/html", ""))
    return bool(text) and _STATIC.issuperset(data) and _ALIVE.search(text) is None


def _as_html(block: Block) -> str:
    if isinstance(block, Rich):  # as it would be in a display of its own
        return f"<div>{layout.joined(block.data['text/html'])}</div>"
    return html.block(block)


def _items(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    """The outputs of one engine as in a notebook file, with carriage returns folded."""
    items: list[dict[str, Any]] = []
    for output in outputs:
        kind = output.get("output_type")
        if kind == "stream":
            text = fold_returns(layout.joined(output.get("text", "")))
            if text.strip("\n"):
                name = str(output.get("name", "stdout"))
                items.append({"output_type": kind, "name": name, "text": text})
        elif kind in ("display_data", "execute_result"):
            data = layout.without_widgets(output.get("data", {}))
            item = {"output_type": kind, "data": data, "metadata": output.get("metadata") or {}}
            if kind == "execute_result":
                item["execution_count"] = output.get("execution_count")
            items.append(item)
        elif kind == "error":
            items.append({key: output.get(key) for key in ("output_type", "ename", "evalue")})
            items[-1]["traceback"] = list(output.get("traceback") or ())
    return items


def _collapsed(
    blocks: Sequence[Block], engines: Sequence[dict[str, Any]]
) -> list[dict[str, Any]] | str | None:
    """The blocks, whose pictures and tables are items of engines; None if one is not found.

    If all is text, it is that of ``text/plain``, and not repeated here.
    """
    if all(isinstance(block, Text) for block in blocks):
        return "text/plain"
    items = {each["engine"]: each["items"] for each in engines}
    told: list[dict[str, Any]] = []
    for block in blocks:
        if isinstance(block, Text):
            told.append({"lines": block.lines})
            continue
        wanted: list[tuple[int, str, Mapping[str, Any]]]
        if isinstance(block, Grid):
            wanted = [
                (each.ids[0], layout.prefix(each.ids).strip(), {each.mime: each.content})
                for each in block.pictures
            ]
        else:
            wanted = [(block.ids[0], "", block.data)]
        found = [
            {"label": label, "engine": engine, "item": index}
            for engine, label, data in wanted
            if (index := _index(items[engine], data)) is not None
        ]
        if len(found) < len(wanted):
            return None
        told.append({"pictures": found} if isinstance(block, Grid) else found[0])
    return told


def _index(items: Sequence[dict[str, Any]], wanted: Mapping[str, Any]) -> int | None:
    """The position of the item that has this data."""
    for index, item in enumerate(items):
        data = item.get("data", {})
        if all(mime in data and _same(data[mime], wanted[mime]) for mime in wanted):
            return index
    return None


def _same(one: Any, other: Any) -> bool:
    return one == other or layout.joined(one) == layout.joined(other)


def _refer_to_pictures(engines: Sequence[dict[str, Any]], blocks: Sequence[Block]) -> None:
    """Have items refer to the pictures of the HTML by their number, instead of holding them."""
    numbers: dict[tuple[str, str], int] = {}
    count = itertools.count()
    for block in blocks:
        if isinstance(block, Grid):
            for each in block.pictures:
                numbers.setdefault((each.mime, each.content), next(count))
        elif isinstance(block, Rich):
            return  # its HTML may have pictures of its own: they could not be told apart
    for engine in engines:
        for item in engine["items"]:
            for mime in layout.PICTURES:
                number = numbers.get((mime, layout.joined(item.get("data", {}).get(mime, ""))))
                if number is not None:
                    item["data"] = {**item["data"], mime: {"img": number}}
