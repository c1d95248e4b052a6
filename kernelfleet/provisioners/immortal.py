"""What all engines share is not counted, so that it stays shared.

CPython counts the references to an object in the object itself. So whoever only calls a function
writes to it, and to its class, its names and its constants: each engine would get copies of the
pages of memory that those lie in, a fifth of what an engine has to itself. The same holds for data
that are only read, such as a list of texts.

From Python 3.12 on there are objects that are not counted, like ``None`` (PEP 683). The fork server
makes one of every function, class, name and constant of kernelfleet and its libraries, and of what
the user has preloaded. Such an object is never freed, which would give no memory back, as the fork
server has it, too. Nothing else happens when it is freed: of the user's data, only those count that
can neither be changed nor hold what can. Python offers no function for this up to 3.14, so it is
done in the memory itself, in the way that ``None`` shows; where Python is another one, nothing is
done.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import sysconfig
import types
from collections.abc import Iterable
from typing import Any

#: Nothing happens when one of these is freed, but that its memory is. (Of classes that are written
#: in Python only those themselves are meant, not their instances.)
_KINDS = frozenset(
    {
        types.FunctionType, types.CodeType, types.BuiltinFunctionType, types.MethodDescriptorType,
        types.WrapperDescriptorType, types.ClassMethodDescriptorType, types.GetSetDescriptorType,
        types.MemberDescriptorType, types.ModuleType,
        property, classmethod, staticmethod, str, bytes, int, float, tuple, frozenset,
    }
)  # fmt: skip


#: How many objects are asked at once what they refer to.
_AT_ONCE = 10_000


def make_immortal() -> None:
    """Stop the counting of the functions, classes, names and constants that there are.

    The process must not have a second thread, which could count an object meanwhile.
    """
    if not _is_possible():
        return
    memory, immortal = _counters()
    tracked = gc.get_objects()
    found = gc.get_referents(*tracked)
    kinds = _kinds_of(found)
    # The collector does not look into code.
    code = [each.__code__ for each in tracked if type(each) is types.FunctionType]
    while found:
        # An object is found more than once. To remember them all would take longer.
        for each in found:
            if id(type(each)) in kinds:
                memory[id(each) >> 2] = immortal
        found = []
        for each in code:
            found += (each.co_consts, each.co_names, *each.co_consts, *each.co_names)
        code = [each for each in found if type(each) is types.CodeType]


def make_preload_immortal() -> None:
    """Do the same to what the user has preloaded, which may be millions of objects.

    A tuple that holds a list, say, may become large in an engine, and has to be freed there.
    """
    if not _is_possible():
        return
    memory, immortal = _counters()
    gc.collect()  # the collector forgets tuples and dicts that hold nothing of interest to it
    holders, seen = gc.get_objects(), set[int]()
    while holders:
        inner: list[Any] = []
        for at in range(0, len(holders), _AT_ONCE):
            some = holders[at : at + _AT_ONCE]
            found = gc.get_referents(*some)
            for names in (each for each in some if type(each) is dict):
                found += names  # keys that are all texts the collector does not tell
            kinds = _kinds_of(found) - {id(tuple), id(frozenset)}
            for each in found:
                kind, place = type(each), id(each) >> 2
                if id(kind) in kinds:
                    memory[place] = immortal
                elif not (kind is tuple or kind is dict) or gc.is_tracked(each) or place in seen:
                    continue
                elif kind is dict:
                    seen.add(place)
                    inner.append(each)
                elif memory[place] != immortal:
                    memory[place] = immortal
                    inner.append(each)
        holders = inner


def _counters() -> tuple[Any, int]:
    """The counters of all objects, by their addresses, and what stands in that of ``None``."""
    # Half of a counter is enough: the other one is zero, or has flags from 3.14 on.
    memory = (ctypes.c_uint32 * 2**45).from_address(0)
    return memory, memory[id(None) >> 2]


def _kinds_of(found: Iterable[Any]) -> set[int]:
    """Which types of these objects are meant.

    They are told by their ids: the metaclass of a user's may compare them in its own way.
    """
    types_by_id = {id(type(each)): type(each) for each in found}
    meant = set(map(id, _KINDS))
    return {key for key, kind in types_by_id.items() if key in meant or issubclass(kind, type)}


def _is_possible() -> bool:
    """Whether this Python has immortal objects, and keeps its counters where we look for them."""
    return (
        sys.implementation.name == "cpython"
        and (sys.maxsize, sys.byteorder) == (2**63 - 1, "little")
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
        and not hasattr(sys, "gettotalrefcount")  # of a debug build
        and ctypes.c_int32.from_address(id(None)).value < 0
    )
