"""Progress bars of ``tqdm.auto`` as text, because clients do not show widgets of an engine.

This serves everybody whose engine code, or a library in it, uses ``tqdm.auto``: in a kernel with
ipywidgets installed, tqdm 4.70 makes a widget, and only its first state is seen, 0 %. As text a
bar is one line that is rewritten. tqdm cannot know what the frontend shows
(https://github.com/tqdm/tqdm/issues/1098), so this stays until clients show widgets.

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
