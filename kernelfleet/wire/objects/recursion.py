"""A function that calls itself by its name means itself, whatever an engine has under that name.

Functions of ``__main__`` share the engine's namespace as their globals, where the user's names
win. So the code of a function that refers to itself gets another name for itself on an engine,
which the namespace holds where nobody looks.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import marshal
import types
from collections.abc import Callable
from typing import Any

#: Wrappers of wrappers that are looked through, as ``functools.wraps`` leaves them.
MAX_WRAPPERS = 10
#: A name's index that one byte of an instruction can hold; LOAD_GLOBAL uses a bit for itself.
_MAX_NAMES = 128
#: The version of marshal's format in which equal codes are equal bytes.
_MARSHAL = 2


def is_itself(value: Any, func: types.FunctionType) -> bool:
    """Whether a global of the function is the function itself, or what wraps it."""
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
    """Let the names by which a function refers to itself mean itself.

    Args:
        func: As it has arrived, its globals the engine's namespace.
        itself: The names, and what they stand for: the function, or what wraps it.
        namespace: The engine's.
        hide: Puts names into the namespace that nobody is to see.
    """
    digest = hashlib.sha256(marshal.dumps(func.__code__, _MARSHAL)).hexdigest()[:12]
    for name, value in itself.items():
        hidden = _free_name(f"{name}\u00b7{digest}", func, namespace)
        renamed = _renamed(func.__code__, name, hidden)
        if renamed is not None:
            func.__code__ = renamed
            hide({hidden: value})


def _free_name(name: str, func: types.FunctionType, namespace: dict[str, Any]) -> str:
    """A name that no other function of the same code, but of other defaults, has."""
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
    """The code with another name for a global; None where that cannot be done.

    ``hidden`` holds the code's digest: equal code of another file is another key.

    The new name gets an index of its own, as the old one may be an attribute's too.
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
    """Whether the argument needs more than the byte beside the instruction."""
    return instruction.arg is not None and instruction.arg > 0xFF


@functools.lru_cache(maxsize=256)
def assigns_globals(code: types.CodeType) -> bool:
    """Whether code, nested code included, assigns to global variables."""
    for each in dis.get_instructions(code):
        if each.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return True
    return any(
        assigns_globals(const) for const in code.co_consts if isinstance(const, types.CodeType)
    )
