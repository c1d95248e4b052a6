"""The examples in docstrings do what they show.

Those that need a fleet are run by ``tests/client/test_docstrings.py``.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kernelfleet

PACKAGE = Path(kernelfleet.__file__).parent


def docstrings(path: Path) -> Iterator[tuple[str, str, int]]:
    """Name, text and line of each docstring that has examples."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            if ">>> " in text and not re.search(r"\b(mec|Fleet|MultiEngineClient)\b", text):
                name = getattr(node, "name", path.stem)
                yield name, text, getattr(node, "lineno", 1)


PATHS = [path for path in sorted(PACKAGE.rglob("*.py")) if any(docstrings(path))]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_examples_do_what_they_show(path: Path) -> None:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    told: list[str] = []
    for name, text, line in docstrings(path):
        names = dict(vars(module))
        test = doctest.DocTestParser().get_doctest(text, names, name, str(path), line)
        runner.run(test, out=told.append)
    assert "".join(told) == ""
    assert runner.tries
