"""Which Python a process runs, and refusing compiled code of another version.

The interpreter executes a code object without checking it, and its form changes with Python's minor
version: code of another version ends the process by SIGSEGV. Therefore each code object carries the
version that has compiled it, and a receiver with another version refuses it. A sender that knows
that the receiver runs another version refuses to send it. Values, and functions that travel by
their names, do not depend on the version.
"""

from __future__ import annotations

import platform
import sys
import types
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from kernelfleet.errors.tree import UnsupportedOperation

#: Processes that run another Python than this one, and its version: ``{"engine 2": "3.12.1"}``.
OtherPythons = Mapping[str, str]

NONE: OtherPythons = {}


def _version() -> str:
    name = platform.python_implementation()
    return platform.python_version() if name == "CPython" else f"{name} {platform.python_version()}"


#: The version of this process: ``3.11.7``, or ``PyPy 3.11.9``.
VERSION = _version()


def series(version: str) -> str:
    """Return the part of a version on which compiled code depends: ``3.11`` of ``3.11.7``."""
    return ".".join(version.split(".")[:2])


def differs(version: str | None) -> bool:
    """Tell whether a Python cannot run code of this process. An unknown version counts as equal."""
    return bool(version) and series(str(version)) != series(VERSION)


def asker(version: str | None) -> OtherPythons:
    """Return the ``other_pythons`` for a reply to a client with this version."""
    return {"the client": version} if version is not None and differs(version) else NONE


def refusal(what: str, others: OtherPythons) -> UnsupportedOperation:
    """Return the error for code that cannot go to a receiver with another Python.

    Args:
        what: What holds the code, for the error message.
        others: The receivers with another Python, and their versions.
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
    """Reduce a class of the standard library to its public name, or return None.

    The private module that defines a class differs between versions: ``PosixPath`` is in
    ``pathlib._local`` in Python 3.13 only.
    """
    public, private, _ = cls.__module__.partition("._")
    if not private or public.partition(".")[0] not in sys.stdlib_module_names:
        return None
    found = getattr(sys.modules.get(public), cls.__qualname__, None)
    return (named, (public, cls.__qualname__)) if found is cls else None


def named(module: str, name: str) -> Any:
    """Return what a module has under a name; called when a pickle is loaded."""
    return getattr(import_module(module), name)


def make_code(made_by: str, *parts: Any) -> types.CodeType:
    """Make a code object that has arrived.

    Raises:
        UnsupportedOperation: Another version of Python has compiled it.
    """
    here = series(VERSION)
    if made_by != here:
        raise UnsupportedOperation(
            f"a function of Python {made_by} cannot run here, in Python {here}: compiled code is "
            f"of one minor version. {_CURE}"
        )
    return types.CodeType(*parts)
