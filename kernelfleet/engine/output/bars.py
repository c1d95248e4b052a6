"""Progress bars of ``tqdm.auto`` as text, because an engine does not know who will look.

In a kernel with ipywidgets installed, ``tqdm.auto`` (4.70) chooses widgets, once, when it is
imported. Notebooks show widgets of engines; a script, a terminal or a notebook that is executed
without a person, which may use the same engine later, would see only the first state of a bar, 0 %.
As text a bar is one line that is rewritten, and equal ones of several engines are shown once.
tqdm cannot know what the frontend shows either (https://github.com/tqdm/tqdm/issues/1098).

This module does not import tqdm.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _TextBars(ModuleType):
    """Takes the place of ``tqdm.autonotebook``, which decides for widgets when it is imported."""

    def __getattr__(self, name: str) -> Any:
        if name not in ("tqdm", "trange"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from tqdm import std

        return getattr(std, name)


def show_as_text() -> None:
    """Make ``tqdm.auto`` choose text. Who imports ``tqdm.notebook`` itself still gets a widget."""
    sys.modules.setdefault("tqdm.autonotebook", _TextBars("tqdm.autonotebook"))
