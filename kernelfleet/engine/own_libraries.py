"""The libraries of an engine are loaded from where they are installed, not from the user's folder.

IPython puts the current folder at the front of ``sys.path`` for the user's code. Some libraries
are loaded later than that: in IPython 9.18 ``pexpect`` by the first ``!command`` and ``jedi`` by
the first completion. Without this module a ``pexpect.py`` in a folder that others may write to
would be run, and a file of the user's with that name would break ``!``.

For the user it is as if these libraries had been loaded when the engine started.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

#: What kernelfleet needs in an engine, directly or not, in any supported version of it.
NAMES = frozenset(
    {
        "IPython", "argcomplete", "asttokens", "cloudpickle", "comm", "dateutil", "debugpy",
        "decorator", "executing", "ipykernel", "ipykernel_launcher", "ipython_pygments_lexers",
        "jedi", "jupyter", "jupyter_client", "jupyter_core", "kernelfleet", "matplotlib_inline",
        "nest_asyncio", "nest_asyncio2", "packaging", "parso", "pexpect", "platformdirs",
        "prompt_toolkit", "psutil", "ptyprocess", "pure_eval", "pygments", "six", "stack_data",
        "tornado", "tqdm", "traitlets", "typing_extensions", "tzdata", "wcwidth", "zmq",
    }
)  # fmt: skip


class OwnLibraries:
    """A finder for ``sys.meta_path`` that looks for ``NAMES`` on the path as it is now."""

    def __init__(self) -> None:
        self._path = tuple(sys.path)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find one of ``NAMES``; for other modules return None, which asks the next finder."""
        if path is None and name in NAMES:
            return importlib.machinery.PathFinder.find_spec(name, self._path, target)
        return None


def hold() -> None:
    """Remember ``sys.path`` for these libraries. Called before the user's folder is put on it."""
    finder = importlib.machinery.PathFinder
    at = sys.meta_path.index(finder) if finder in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(at, OwnLibraries())
