"""Reads a local script for ``run``: errors of the file are raised before anything is sent."""

from __future__ import annotations

import tokenize
from pathlib import Path


def read_script(path: Path) -> str:
    """The text of a script, decoded as Python would, and compiled once to see that it compiles.

    An ``.ipy`` file may hold IPython's syntax and is transformed before it is compiled.

    Raises:
        OSError: it cannot be read.
        SyntaxError: it does not compile, or is not text in its encoding.
    """
    with tokenize.open(path) as file:
        source = file.read()
    plain = source
    if path.suffix == ".ipy":
        from IPython.core.inputtransformer2 import TransformerManager

        plain = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
    check_source(plain, str(path))
    return source


def check_source(source: str, name: str) -> None:
    """Compile Python source once.

    Raises:
        SyntaxError: it does not compile; the error names ``name``.
    """
    try:
        compile(source, name, "exec", dont_inherit=True)
    except ValueError as error:  # "source code string cannot contain null bytes" (Python 3.11)
        raise SyntaxError(str(error)) from None
