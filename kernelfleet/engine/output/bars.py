"""Progress bars of ``tqdm.auto`` as text: nobody who shows an engine's output shows its widgets.

In an ipykernel with ipywidgets installed tqdm 4.70 makes a widget, of which only its first state
would be seen: 0 %. As text a bar is one line, whatever its number of updates. Nothing of tqdm is
imported here.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _TextBars(ModuleType):
    """Stands for ``tqdm.autonotebook``, which decides while it is imported."""

    def __getattr__(self, name: str) -> Any:
        if name not in ("tqdm", "trange"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from tqdm import std

        return getattr(std, name)


def show_as_text() -> None:
    """Have ``tqdm.auto`` choose text; ``tqdm.notebook`` by its own name stays what it is."""
    sys.modules.setdefault("tqdm.autonotebook", _TextBars("tqdm.autonotebook"))
