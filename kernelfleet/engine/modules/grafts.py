"""Giving old functions and classes the contents of new ones, so that they keep their identity.

Whoever holds a function, a class or an instance from before a reload gets the behaviour of the new
source: ``from m import f``, subclasses, registries, ``isinstance``, ``except m.Error``.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import gc
import types
from collections.abc import Iterator
from typing import Any

_MAX_WRAPPERS = 10
#: Attributes that belong to one class object and are not taken from another. ``_abc_impl`` holds
#: what was registered with the class, which stays.
_OF_ONE_CLASS = ("__dict__", "__weakref__", "_abc_impl")


def graft(was: Any, now: Any) -> bool:
    """Give an old function the contents of a new one. Return False if that is impossible."""
    if type(was) is functools._lru_cache_wrapper and type(now) is type(was):
        if was.cache_parameters() != now.cache_parameters():
            return False
        grafted = graft(was.__wrapped__, now.__wrapped__)
        if grafted:
            was.cache_clear()
        return grafted
    if type(was) is not types.FunctionType or type(now) is not types.FunctionType:
        return False
    if was.__qualname__ != now.__qualname__ or was.__globals__ is not now.__globals__:
        return False
    mine, theirs = was.__closure__ or (), now.__closure__ or ()
    if len(mine) != len(theirs):
        return False
    was.__code__ = now.__code__
    was.__defaults__, was.__kwdefaults__ = now.__defaults__, now.__kwdefaults__
    was.__doc__, was.__annotations__ = now.__doc__, now.__annotations__
    was.__dict__.clear()
    was.__dict__.update(now.__dict__)
    for old, new in zip(mine, theirs, strict=True):
        with contextlib.suppress(ValueError):  # an empty cell
            old.cell_contents = new.cell_contents
    return True


def as_before(built: type, variables: dict[str, Any]) -> type:
    """Return the old class of this name with the new contents; if they do not fit, the new class.

    Args:
        built: The class that a class statement has made again.
        variables: The variables of the module before it was executed again.
    """
    was: Any = variables.get(built.__qualname__.partition(".")[0])
    for part in built.__qualname__.split(".")[1:]:
        was = vars(was).get(part) if isinstance(was, type) else None
    if not isinstance(was, type) or not _fits(was, built):
        return built
    _point_cells_to(was, built)
    _take_members(was, built)
    return was


def _fits(was: type, built: type) -> bool:
    """Tell whether instances of the old class can be instances of the new one."""
    if was is built or was.__module__ != built.__module__ or was.__qualname__ != built.__qualname__:
        return False
    if type(was) is not type(built) or was.__bases__ != built.__bases__:
        return False
    if vars(was).get("__slots__") != vars(built).get("__slots__"):
        return False
    return not isinstance(was, enum.EnumType) or _members(was) == _members(built)


def _members(kind: Any) -> dict[str, Any]:
    return {name: member.value for name, member in kind.__members__.items()}


def _point_cells_to(was: type, built: type) -> None:
    """Make ``super()`` and ``__class__`` in the new methods refer to the old class."""
    for value in vars(built).values():
        function = getattr(value, "__func__", getattr(value, "fget", value))
        for cell in getattr(function, "__closure__", None) or ():
            with contextlib.suppress(ValueError):
                if cell.cell_contents is built:
                    cell.cell_contents = was


def _take_members(was: type, built: type) -> None:
    kept = set(_OF_ONE_CLASS)
    if isinstance(was, enum.EnumType):
        kept |= {*was.__members__, "_value2member_map_", "_member_map_", "_member_names_"}
    for name in [name for name in vars(was) if name not in vars(built) and name not in kept]:
        with contextlib.suppress(AttributeError, TypeError):
            delattr(was, name)
    for name, value in list(vars(built).items()):
        if name in kept or type(value) is types.MemberDescriptorType:
            continue
        if not graft(vars(was).get(name), value):
            with contextlib.suppress(AttributeError, TypeError):
                setattr(was, name, value)


def keep_identities(variables: dict[str, Any], before: dict[str, Any], module: str) -> None:
    """Put the old functions and classes back under their names, with the new contents.

    A variable that refers to another function now (``hook = start`` became ``hook = stop``) must
    not turn ``start`` into ``stop``. Therefore variables named like their function or class come
    first, and each old object is used once.
    """
    old = {id(value) for value in before.values()}
    #: By id of a new object: the object, which keeps its id from being reused, and what stands for
    #: it now.
    became: dict[int, tuple[Any, Any]] = {}
    taken: set[int] = set()
    for name in sorted(variables, key=lambda name: _own_name(variables[name]) != name):
        was, now = before.get(name), variables[name]
        if id(now) in became:
            variables[name] = became[id(now)][1]
        elif was is not now and id(now) not in old and id(was) not in taken:
            is_now = _kept_or_new(was, now, before, module)
            variables[name] = is_now
            became[id(now)] = now, is_now
            taken.add(id(is_now))


def _own_name(value: Any) -> Any:
    return getattr(value, "__qualname__", None)


def _kept_or_new(was: Any, now: Any, before: dict[str, Any], module: str) -> Any:
    """Return the old object if it could take the new contents, else the new object."""
    if graft(was, now):
        return was
    if _is_of(was, module) and _is_of(now, module) and was.__qualname__ == now.__qualname__:
        # A decorator has replaced the class, as dataclass does for slots.
        if as_before(now, before) is was:
            _move_instances(now, was)
            return was
        _move_instances(was, now)
    return now


def _is_of(value: Any, module: str) -> bool:
    return isinstance(value, type) and value.__module__ == module


def _move_instances(of: type, to: type) -> None:
    """Make the instances of one class instances of another, if their layouts agree."""
    for each in gc.get_referrers(of):
        if type(each) is of:
            with contextlib.suppress(AttributeError, TypeError):
                object.__setattr__(each, "__class__", to)


def renew_lines(code: types.CodeType, module: types.ModuleType) -> None:
    """Give functions that were not defined again their line numbers in the new source."""
    codes = {each.co_qualname: each for each in _nested(code)}
    for value in list(vars(module).values()):
        members = list(vars(value).values()) if _is_of(value, module.__name__) else [value]
        for member in members:
            _renew_lines(member, codes, module)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield const
            yield from _nested(const)


def _renew_lines(value: Any, codes: dict[str, types.CodeType], module: types.ModuleType) -> None:
    for _ in range(_MAX_WRAPPERS):
        value = getattr(value, "__func__", getattr(value, "fget", value))
        if type(value) is types.FunctionType and value.__globals__ is vars(module):
            fresh = codes.get(value.__code__.co_qualname)
            if fresh is not None and _is_alike(fresh, value.__code__):
                value.__code__ = fresh
        value = getattr(value, "__wrapped__", None)
        if value is None:
            return


def _is_alike(fresh: types.CodeType, old: types.CodeType) -> bool:
    """Tell whether two code objects differ in their line numbers only."""
    return (
        fresh.co_freevars == old.co_freevars
        and fresh.co_code == old.co_code
        and fresh.co_names == old.co_names
    )
