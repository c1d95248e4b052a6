"""What an engine is built on is taken from where it is installed, not from the user's folder.

IPython puts the current folder on ``sys.path`` for the user's code, before what is installed. Some
libraries are loaded much later than that, as ``pexpect`` by the first ``!command`` and ``jedi`` by
the first completion (IPython 9.18). A ``pexpect.py`` in a folder that others may write to is not to
be run then, and one's own of that name is not to break ``!``.

To the user it is as if they had been loaded from the beginning, as most of the others are.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

#: All that kernelfleet needs in an engine, and what that needs; some come with some versions only.
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
        """Where one of our libraries is; None leaves it to the others."""
        if path is None and name in NAMES:
            return importlib.machinery.PathFinder.find_spec(name, self._path, target)
        return None


def hold() -> None:
    """From now on the path may change; called before the user's folder is put on it."""
    finder = importlib.machinery.PathFinder
    at = sys.meta_path.index(finder) if finder in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(at, OwnLibraries())
