"""What a call has put out, and how it ended, as text and pictures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kernelfleet.client.results.pending import PendingResult
from kernelfleet.display import layout, tables
from kernelfleet.errors.composite import CompositeError
from kernelfleet.errors.text import format_ids, named_text, without_colours

#: The pictures that programs are given; the others (SVG) are given as text.
_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}


@dataclass(frozen=True)
class Picture:
    """A picture of one or more engines.

    Attributes:
        ids: The engines.
        format: ``png``, ``jpeg``, ``gif`` or ``webp``.
        content: The bytes of the file.
    """

    ids: list[int]
    format: str
    content: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered: a text, which may be long, and pictures."""

    text: str
    pictures: list[Picture]


def answer(pending: PendingResult[Any], waited: float) -> Answer:
    """What a call has put out so far, and how it ended or that it goes on.

    Identical outputs of several engines are said once, behind ``[0-3]``. An error of the user's
    code, and an engine that died, are a part of the answer.

    Args:
        pending: The call.
        waited: How many seconds it was waited for.
    """
    is_done = pending.done()
    outputs = pending.outputs if is_done else _printed(pending)
    blocks = layout.arrange(outputs, shorten=False)
    lines, pictures = said(blocks)
    if not is_done:
        lines.append(_still_running(pending, waited))
    elif (error := pending.exception(0)) is not None:
        lines += error_lines(error)
    elif not lines:
        lines = [f"[{format_ids(pending.targets)}] done, without output"]
    return Answer("\n".join(lines), pictures)


def said(blocks: Iterable[layout.Block]) -> tuple[list[str], list[Picture]]:
    """The lines and the pictures of blocks of outputs; a line stands for each picture."""
    lines: list[str] = []
    pictures: list[Picture] = []
    for block in blocks:
        if isinstance(block, layout.Text):
            lines += map(layout.printable, block.lines)
        elif isinstance(block, layout.Rich):
            lines.append(without_colours(_as_text(block.data)))
        else:
            for each in block.pictures:
                picture = _decoded(each)
                if picture is None:
                    lines.append(f"{layout.prefix(each.ids)}{each.text or each.mime}")
                else:
                    pictures.append(picture)
                    lines.append(f"{layout.prefix(each.ids)}(picture {len(pictures)} below)")
    return lines, pictures


def error_lines(error: BaseException) -> list[str]:
    """An error as plain lines: each distinct traceback of the engines once, then what failed."""
    if not isinstance(error, CompositeError):
        return [named_text(error)]
    lines = "\n".join(error._render_traceback_())
    return without_colours(lines).split("\n")


def _printed(pending: PendingResult[Any]) -> list[tuple[int, list[layout.Output]]]:
    """What the engines of a call have printed so far, as outputs."""
    texts = {"stdout": pending.stdout, "stderr": pending.stderr}
    return [
        (
            engine,
            [
                {"output_type": "stream", "name": name, "text": by_engine[engine]}
                for name, by_engine in texts.items()
                if by_engine.get(engine)
            ],
        )
        for engine in pending.targets
    ]


def _still_running(pending: PendingResult[Any], waited: float) -> str:
    done, total = pending.progress
    return (
        f"[still running after {waited:g} s: {done} of {total} engines are done. "
        f'read_result(result_id="{pending.result_id}") waits for more; '
        "interrupt(...) ends it; peek(...) looks at variables meanwhile]"
    )


def _decoded(picture: layout.Picture) -> Picture | None:
    """A picture with its bytes; None if it has no format that is passed on."""
    if picture.mime not in _FORMATS:
        return None
    try:
        content = base64.b64decode(picture.content)
    except (binascii.Error, ValueError):
        return None
    return Picture(picture.ids, _FORMATS[picture.mime], content)


def _as_text(data: dict[str, object]) -> str:
    plain = data.get("text/plain")
    if plain is not None:
        return layout.joined(plain)
    for mime in ("text/markdown", "text/latex", "application/json", "text/html"):
        if mime in data:
            return layout.joined(data[mime])
    return f"(an output of type {', '.join(sorted(data))})"


def table_text(table: tables.Table) -> str:
    """A table as aligned text."""
    return tables.as_text(table.columns, table.rows)


def last_lines(text: str, lines: int) -> str:
    """The last lines of a text."""
    kept: Sequence[str] = text.splitlines()[-lines:]
    return "\n".join(kept)
