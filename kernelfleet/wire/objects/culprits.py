"""Naming the part of an object that cannot be pickled: "the global 'LOCK' of the function 'work'".

pickle's error names a type at most. Here the pieces of an object are pickled one by one, from the
outside in, until the piece is found that fails by itself. This runs only after a failure.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kernelfleet.wire.objects import cloudpickling, references

#: How deep pieces of pieces are examined, and how many pieces of one object.
MAX_DEPTH = 8
MAX_PIECES = 2000

#: The pieces of an object: what each is called in an error message, and the piece.
Pieces = Iterable[tuple[str, Any]]


def pieces_of_call(
    function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield the function and the arguments of a call, named as the caller knows them."""
    yield called(function), function
    for index, value in enumerate(args):
        yield f"argument {index}", value
    for name, value in kwargs.items():
        yield f"argument {name!r}", value


def called(function: Any) -> str:
    """Return what a function is called in an error message."""
    name = getattr(function, "__qualname__", None) or type(function).__name__
    return f"the function {name!r}"


def explain(
    obj: object,
    error: Exception,
    fails: Callable[[object], bool],
    pieces: Callable[[], Pieces] | None = None,
) -> str:
    """Say what cannot be pickled, and why.

    Args:
        obj: The object that could not be pickled.
        error: The error that pickling it has raised.
        fails: Tells whether pickling an object alone fails.
        pieces: The pieces of ``obj`` as the caller names them; None means to take it apart.
    """
    trail: list[str] = []
    holders: list[Any] = [obj]
    seen = set() if pieces is not None else {id(obj)}
    within: Pieces = pieces() if pieces is not None else _pieces(obj)
    while len(trail) < MAX_DEPTH:
        found = _first_that_fails(within, seen, fails)
        if found is None:
            break
        name, piece = found
        trail.append(name)
        holders.append(piece)
        within = _pieces(piece)
    where = " of ".join(reversed(trail)) or f"{type(obj).__name__!r} object"
    return f"cannot pickle {where}: {type(error).__name__}: {error}{_why_by_value(holders)}"


def _first_that_fails(
    pieces: Pieces, seen: set[int], fails: Callable[[object], bool]
) -> tuple[str, Any] | None:
    try:
        for count, (name, piece) in enumerate(pieces):
            if count >= MAX_PIECES:
                return None
            if id(piece) not in seen:
                seen.add(id(piece))
                if fails(piece):
                    return name, piece
    except Exception:  # noqa: BLE001 - the user's classes take part
        return None
    return None


def _why_by_value(holders: list[Any]) -> str:
    """Say why a function or class on the way did not travel by its name, if that is a surprise."""
    for holder in holders:
        module = sys.modules.get(getattr(holder, "__module__", None) or "")
        if module is None or not isinstance(holder, type | types.FunctionType):
            continue
        name, why = module.__name__, references.why_not_importable(module)
        if why:
            return f"; it goes by value, as engines cannot import its module {name!r}: {why}"
    return ""


def _pieces(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, Mapping):
        for key, value in obj.items():
            yield f"key {_short(key)}", key
            yield f"item {_short(key)}", value
    elif isinstance(obj, list | tuple | set | frozenset):
        for index, value in enumerate(obj):
            yield f"item {index}", value
    elif isinstance(obj, functools.partial):
        yield from pieces_of_call(obj.func, obj.args, obj.keywords)
    elif isinstance(obj, types.MethodType):
        yield "the object", obj.__self__
    elif isinstance(obj, types.FunctionType):
        if references.home_of(obj) is None:
            yield from _pieces_of_function(obj)
    elif isinstance(obj, type):
        if references.home_of(obj) is None:
            for name, value in vars(obj).items():
                yield f"the member {name!r}", getattr(value, "__func__", value)
    else:
        yield from _pieces_of_instance(obj)


def _pieces_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        yield f"the variable {name!r}", cell.cell_contents
    _, slots = cloudpickling.function_state(function)
    for name, value in slots["__globals__"].items():
        kind = called(value) if isinstance(value, types.FunctionType) else f"the global {name!r}"
        yield kind, value
    for index, value in enumerate(function.__defaults__ or ()):
        yield f"default {index}", value
    for name, value in {**(function.__kwdefaults__ or {}), **vars(function)}.items():
        yield f"the attribute {name!r}", value


def _pieces_of_instance(obj: Any) -> Iterator[tuple[str, Any]]:
    if references.home_of(type(obj)) is None:
        yield f"the class {type(obj).__qualname__!r}", type(obj)
    reduced = obj.__reduce_ex__(5)
    state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(part, Mapping):
            for name, value in part.items():
                yield f"the attribute {name!r}", value
    if isinstance(reduced, tuple) and len(reduced) > 1:
        for index, value in enumerate(reduced[1]):
            yield f"part {index}", value


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 40 else text[:37] + "..."
