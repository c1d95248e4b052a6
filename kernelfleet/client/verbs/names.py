"""Names of variables: which ones there can be, and how a call that moves them is shown. Pure."""

from __future__ import annotations

import keyword
from collections.abc import Sequence


def checked_names(names: str | Sequence[str]) -> list[str]:
    """The names of a pull: a string, or a tuple or list of strings.

    Raises:
        TypeError: it is something else.
        ValueError: a name cannot name a variable.
    """
    if isinstance(names, str):
        return [names]
    if not isinstance(names, tuple | list):
        raise TypeError(f"a name or a tuple of names is pulled, not {type(names).__name__}")
    return [checked_name(name) for name in names]


def checked_name(name: object) -> str:
    """A variable's name, or a path to an attribute: ``'model.coef_'``.

    Raises:
        TypeError: it is no string.
        ValueError: it cannot name a variable.
    """
    if not isinstance(name, str):
        raise TypeError(f"variables have names that are strings, not {name!r}")
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f"{name!r} cannot name a variable")
    for part in parts:
        if keyword.iskeyword(part):
            raise ValueError(f"{name!r} cannot name a variable: {part!r} is a keyword of Python")
    return name


def call_label(method: str, names: Sequence[str]) -> str:
    """What ``queue_status`` shows: ``push('a', 'b')``."""
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    return f"{method}({shown})"
