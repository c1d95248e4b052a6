"""What ``%fleet status`` shows: the engines as a table, in text and in HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelfleet.notebook import html

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient


class Status:
    """The engines when it was made."""

    def __init__(self, client: MultiEngineClient) -> None:
        self._html = html.client(client)
        rows = [html.COLUMNS, *map(html.engine_row, client.engines())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        self._text = "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html
