"""IPython's transformation of a cell is passed over where it would change nothing.

IPython 9.18 makes tokens of each cell to find magics, ``!commands``, ``help?`` and pasted prompts.
That takes longer than to compile the cell. Code is *plain* if no line of it has the characters that
these begin or end with, at a place where they could. What IPython does to single lines afterwards
depends on variables (``%automagic``) and is always done, and so is everything once a user has added
a transformation.
"""

from __future__ import annotations

import re
from typing import Any

from IPython.core import inputtransformer2 as ipython

#: What is not plain. It is enough for speed that most code has nothing of it; for the result,
#: IPython must not change anything that has nothing of it.
_NOT_PLAIN = re.compile(
    r"""
    \A\s                                            # an indented cell, empty lines in front
    | ^[^\S\n]+$                                    # lines of spaces, which it empties
    | ^[^\S\n]*[%!?,;/]                             # %magic, !command, ?name, ;f a b
    | =[\s\\]*[%!]                                  # a = %magic, a = !command
    | \?[\s\\]*$                                    # name?
    | >>> | \.\.\.: | ^[^\S\n]*\.\.\. | In\ \[      # prompts
    | [\0\r\v\f\x1c-\x1e\x85\u2028\u2029]           # what else separates lines, or ends the text
    """,
    re.MULTILINE | re.VERBOSE,
)

#: What IPython does where nobody has added anything.
_CLEANUP = [
    ipython.leading_empty_lines,
    ipython.leading_indent,
    ipython.classic_prompt,
    ipython.ipython_prompt,
]
_LINES = [ipython.cell_magic]
_TOKENS = [ipython.MagicAssign, ipython.SystemAssign, ipython.EscapedCommand, ipython.HelpEnd]


def pass_over_plain_code(shell: Any) -> None:
    """Let a shell not look for what plain code has not."""
    manager = shell.input_transformer_manager
    transform = manager.transform_cell

    def transform_cell(cell: str) -> str:
        if _is_as_ipython_made_it(manager) and is_plain(cell):
            return cell if cell.endswith("\n") else cell + "\n"
        transformed: str = transform(cell)
        return transformed

    manager.transform_cell = transform_cell


def is_plain(code: str) -> bool:
    """Whether IPython's own transformations surely change nothing but a missing last newline."""
    return _NOT_PLAIN.search(code) is None


def _is_as_ipython_made_it(manager: Any) -> bool:
    return bool(
        manager.cleanup_transforms == _CLEANUP
        and manager.line_transforms == _LINES
        and manager.token_transformers == _TOKENS
    )
