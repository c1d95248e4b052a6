"""Who owns an embedded fleet: the notebook, the script or the session that has started it.

The fleet's connection file says so, that people recognize a fleet that they did not start by hand.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import Any

from kernelfleet.client.frontend import is_notebook
from kernelfleet.here import this_engine

#: How long the part of a fleet's name may be that is made of its owner's.
MAX_STEM = 40


@dataclass(frozen=True)
class Owner:
    """The owner of a fleet.

    Attributes:
        kind: ``notebook`` for any Jupyter kernel, ``session`` for any other process.
        path: The path of the notebook or the script; None where it is not known.
        what: A word for it, for the fleet's name: the file's name without its ending.
    """

    kind: str
    path: str | None
    what: str


def current_owner() -> Owner:
    """This process, as the owner of a fleet."""
    if this_engine() is not None:
        return Owner("session", None, "engine")
    shell = _shell()
    if shell is not None and is_notebook(shell):
        path = notebook_path(shell.user_ns, os.environ)
        return Owner("notebook", path, "notebook" if path is None else _stem(path))
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if shell is None and isinstance(file, str):
        path = os.path.abspath(file)
        return Owner("session", path, _stem(path))
    return Owner("session", None, "python" if shell is None else "ipython")


def _shell() -> Any:
    """The running IPython shell, without importing IPython."""
    interactive = sys.modules.get("IPython.core.interactiveshell")
    shell = getattr(interactive, "InteractiveShell", None)
    return shell.instance() if shell is not None and shell.initialized() else None


def notebook_path(names: dict[str, Any], environment: Any) -> str | None:
    """The path of the notebook of a kernel, where its frontend has told it.

    Args:
        names: The variables of the kernel's user, among which VS Code leaves the path.
        environment: The environment variables of the kernel. Jupyter Server sets one to the path of
            the session that has started it.
    """
    for told in (names.get("__vsc_ipynb_file__"), environment.get("JPY_SESSION_NAME")):
        if isinstance(told, str) and told.endswith(".ipynb"):
            return told
    return None


def fleet_name(what: str, pid: int, number: int) -> str:
    """The name of a fleet that was given none: ``sweep-4711``, then ``sweep-4711-2``.

    Args:
        what: The word for its owner.
        pid: The owner's process.
        number: The how manieth fleet of this process it is, from 1.
    """
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", what)[:MAX_STEM].strip("-_.") or "fleet"
    return f"{stem}-{pid}" + ("" if number == 1 else f"-{number}")


def _stem(path: str) -> str:
    name = os.path.splitext(os.path.basename(path))[0]
    # `python -m package` runs a file of this name.
    return os.path.basename(os.path.dirname(path)) if name == "__main__" else name
