"""Functions that call themselves by name, on an engine that has something else under that name.

Functions of ``__main__`` have the engine's namespace as their globals, and there the user's
variables have precedence. Therefore, in the code of a function that refers to itself, that name is
replaced on the engine by a hidden name, under which the namespace has the function.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import marshal
import types
from collections.abc import Callable
from typing import Any

#: How many wrappers, as ``functools.wraps`` marks them, are looked through.
MAX_WRAPPERS = 10
#: The indices of names that fit into one byte of an instruction; LOAD_GLOBAL uses one bit.
_MAX_NAMES = 128
#: The version of marshal's format in which equal code is equal bytes.
_MARSHAL = 2


def is_itself(value: Any, func: types.FunctionType) -> bool:
    """Tell whether a global of the function is the function itself, or a wrapper of it."""
    for _ in range(MAX_WRAPPERS):
        if value is func:
            return True
        if not callable(value):
            return False
        value = getattr(value, "__wrapped__", None)
    return False


def bind(
    func: types.FunctionType,
    itself: dict[str, Any],
    namespace: dict[str, Any],
    hide: Callable[[dict[str, Any]], None],
) -> None:
    """Make the names by which a function refers to itself refer to it, and not to a variable.

    Args:
        func: The function as it has arrived; its globals are the engine's namespace.
        itself: The names, and what they refer to: the function, or a wrapper of it.
        namespace: The engine's namespace.
        hide: Puts names into the namespace that no listing shows.
    """
    digest = hashlib.sha256(marshal.dumps(func.__code__, _MARSHAL)).hexdigest()[:12]
    for name, value in itself.items():
        hidden = _free_name(f"{name}\u00b7{digest}", func, namespace)
        renamed = _renamed(func.__code__, name, hidden)
        if renamed is not None:
            func.__code__ = renamed
            hide({hidden: value})


def _free_name(name: str, func: types.FunctionType, namespace: dict[str, Any]) -> str:
    """Return a name that no function with the same code but other defaults has."""
    turn = 1
    candidate = name
    while candidate in namespace and not _alike(namespace[candidate], func):
        turn += 1
        candidate = f"{name}\u00b7{turn}"
    return candidate


def _alike(value: Any, func: types.FunctionType) -> bool:
    value = getattr(value, "__wrapped__", value)
    for attribute in ("__defaults__", "__kwdefaults__", "__dict__"):
        try:
            if not getattr(value, attribute, None) == getattr(func, attribute):  # noqa: SIM201
                return False
        except Exception:  # noqa: BLE001 - arrays do not say whether they are equal
            return False
    return True


@functools.lru_cache(maxsize=256)
def _renamed(code: types.CodeType, name: str, hidden: str) -> types.CodeType | None:
    """Return the code with another name for a global, or None if that is impossible.

    The new name gets an index of its own, because attributes may have the old name, too. ``hidden``
    contains the digest of the code, so that the cache tells equal code of two files apart.
    """
    names, raw = code.co_names, bytearray(code.co_code)
    if name in names:
        index = len(names)
        loads = [each for each in dis.get_instructions(code) if _is_global(each, name)]
        if any(each.opname != "LOAD_GLOBAL" for each in loads):
            return None  # it is bound to something else by the function itself
        if loads and (index >= _MAX_NAMES or any(_is_wide(each) for each in loads)):
            return None
        for each in loads:
            assert each.arg is not None
            raw[each.offset + 1] = index << 1 | (each.arg & 1)
        if loads:
            names = (*names, hidden)
    consts = [
        _renamed(const, name, hidden) if isinstance(const, types.CodeType) else const
        for const in code.co_consts
    ]
    if any(
        new is None and old is not None for new, old in zip(consts, code.co_consts, strict=True)
    ):
        return None
    return code.replace(co_names=names, co_code=bytes(raw), co_consts=tuple(consts))


def _is_global(instruction: dis.Instruction, name: str) -> bool:
    if instruction.argval != name or instruction.opname == "IMPORT_NAME":
        return False
    return instruction.opname.endswith(("_GLOBAL", "_NAME"))


def _is_wide(instruction: dis.Instruction) -> bool:
    """Tell whether the argument needs more than the byte beside the instruction."""
    return instruction.arg is not None and instruction.arg > 0xFF


@functools.lru_cache(maxsize=256)
def assigns_globals(code: types.CodeType) -> bool:
    """Tell whether code, including nested code, assigns to global variables."""
    for each in dis.get_instructions(code):
        if each.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return True
    return any(
        assigns_globals(const) for const in code.co_consts if isinstance(const, types.CodeType)
    )
