"""A script that is run once, in the fork server: its variables are in each engine that is forked.

They are the engine's own variables from its start on. The memory is shared as long as nobody writes
to it. For an array that is until somebody changes it; of a Python object already a look at it
changes the page that it lies in, because its references are counted there.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any


class ScriptFailed(Exception):
    """A script has raised an exception."""


class _Preloaded:
    """The module whose variables they are, and the paths of the scripts that it stems from."""

    module: types.ModuleType | None = None


def run(path: str) -> None:
    """Run a script as Python does: its folder is the first on ``sys.path`` meanwhile.

    Several scripts share their variables.

    Raises:
        ScriptFailed: The text says with what, and in which line.
    """
    module = _Preloaded.module or types.ModuleType("__main__")
    folder, before = os.path.dirname(path), sys.modules["__main__"]
    module.__file__ = path
    sys.modules["__main__"] = module  # for what is pickled, and for dataclasses
    sys.path.insert(0, folder)
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec")
        exec(code, module.__dict__)
    except BaseException as error:
        text = f"{type(error).__name__}{_line_of(error, path)}: {error}"
        raise ScriptFailed(text) from error
    finally:
        sys.path.remove(folder)
        sys.modules["__main__"] = before
    vars(module).pop("__file__", None)
    _Preloaded.module = module


def _line_of(error: BaseException, path: str) -> str:
    """Where in the script it was, as far as that is known."""
    number = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            number = trace.tb_lineno
        trace = trace.tb_next
    return "" if number is None else f" in line {number}"


def module() -> types.ModuleType | None:
    """The module that is to be the engine's ``__main__``; None if no script was run."""
    return _Preloaded.module


def show(shell: Any) -> None:
    """Let the variables count as the user's own: IPython hides what is there at its start."""
    if _Preloaded.module is not None:
        for name in list(vars(_Preloaded.module)):
            if not name.startswith("_"):
                shell.user_ns_hidden.pop(name, None)
