"""Colours cells whose first line sends them to engines: what follows it is Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ipython_pygments_lexers import IPython3Lexer
from pygments.token import Keyword, Operator, Text

#: The first line of such a cell; IPython's own lexer takes all that follows it for text.
_FIRST_LINE = re.compile(r"(\s*)(%%)(px|engine|local)\b(.*)(\n|$)")


class CellLexer(IPython3Lexer):
    """IPython's lexer, which goes on behind ``%%px``, ``%%engine`` and ``%%local``."""

    def get_tokens_unprocessed(
        self, text: str, *arguments: Any, **options: Any
    ) -> Iterator[tuple[int, Any, str]]:
        """See pygments: position, kind and text of each token."""
        match = _FIRST_LINE.match(text)
        if match is None:
            yield from super().get_tokens_unprocessed(text, *arguments, **options)
            return
        for group, kind in enumerate((Text, Operator, Keyword, Text, Text), start=1):
            yield match.start(group), kind, match[group]
        begin = match.end()
        for position, kind, part in super().get_tokens_unprocessed(text[begin:]):
            yield begin + position, kind, part
