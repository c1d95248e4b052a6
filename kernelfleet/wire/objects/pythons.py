"""Byte code is of one Python: which one a process runs, and what is refused where they differ.

A code object is read by the interpreter as it is, without a check, and its form changes with
Python's minor version: in another one it ends the process by SIGSEGV. So each code object carries
the version that made it and is refused where that is another one. Whoever knows beforehand that the
other side runs another version refuses before anything is sent. Values, and functions that
travel by their names, are of no version.
"""

from __future__ import annotations

import platform
import sys
import types
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from kernelfleet.errors.tree import UnsupportedOperation

#: Who runs another Python than this process, and which: ``{"engine 2": "3.12.1"}``.
OtherPythons = Mapping[str, str]

NONE: OtherPythons = {}


def _version() -> str:
    name = platform.python_implementation()
    return platform.python_version() if name == "CPython" else f"{name} {platform.python_version()}"


#: This process's: ``3.11.7``, or ``PyPy 3.11.9``.
VERSION = _version()


def series(version: str) -> str:
    """What must agree for code to run: ``3.11`` of ``3.11.7``."""
    return ".".join(version.split(".")[:2])


def differs(version: str | None) -> bool:
    """Whether code of this process cannot run in that Python; unknown ones are given a try."""
    return bool(version) and series(str(version)) != series(VERSION)


def asker(version: str | None) -> OtherPythons:
    """What an engine's ``pack`` is to know of the client that gets its reply."""
    return {"the client": version} if version is not None and differs(version) else NONE


def refusal(what: str, others: OtherPythons) -> UnsupportedOperation:
    """The error of code that is to go where another Python runs.

    Args:
        what: What holds the code.
        others: Who runs which other Python.
    """
    here = series(VERSION)
    versions = sorted({series(version) for version in others.values()})
    who = ", ".join(list(others)[:5]) + (", ..." if len(others) > 5 else "")
    return UnsupportedOperation(
        f"{what} cannot go from Python {here} to Python {' and '.join(versions)} ({who}): compiled "
        f"code is of one minor version. {_CURE}"
    )


_CURE = (
    "Let the fleet and its client run the same Python, keep the function in a module that both "
    "can import, or send its source: mec.execute(...), mec.map('lambda x: ...', ...)"
)


def by_public_name(cls: type) -> tuple[Any, ...] | None:
    """How a class of the standard library is pickled for another Python; None is the usual way.

    Where it lies is each version's own affair: ``Path`` is ``pathlib._local.PosixPath`` in 3.13.
    """
    public, private, _ = cls.__module__.partition("._")
    if not private or public.partition(".")[0] not in sys.stdlib_module_names:
        return None
    found = getattr(sys.modules.get(public), cls.__qualname__, None)
    return (named, (public, cls.__qualname__)) if found is cls else None


def named(module: str, name: str) -> Any:
    """What a module has under a name."""
    return getattr(import_module(module), name)


def make_code(made_by: str, *parts: Any) -> types.CodeType:
    """What a pickled code object is made by, where it arrives.

    Raises:
        UnsupportedOperation: it comes from another Python.
    """
    here = series(VERSION)
    if made_by != here:
        raise UnsupportedOperation(
            f"a function of Python {made_by} cannot run here, in Python {here}: compiled code is "
            f"of one minor version. {_CURE}"
        )
    return types.CodeType(*parts)
