"""What all engines share is not counted, so that it stays shared.

CPython counts the references to an object in the object itself. So whoever only calls a function
writes to it, and to its class, its names and its constants: each engine would get copies of the
pages of memory that those lie in, a fifth of what an engine has to itself.

From Python 3.12 on there are objects that are not counted, like ``None`` (PEP 683). The fork server
makes one of every function, class, name and constant of kernelfleet and its libraries. Nobody sees
that, as they live as long as an engine in any case. What the user has preloaded is left alone: it
can be freed. Python offers no function for this up to 3.14, so it is done in the memory itself, in
the way that ``None`` shows; where Python is another one, nothing is done.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import sysconfig
import types

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


def make_immortal() -> None:
    """Stop the counting of the functions, classes, names and constants that there are.

    The process must not have a second thread, which could count an object meanwhile.
    """
    if not _is_possible():
        return
    # Half of the counter is enough: the other one is zero, or has flags from 3.14 on.
    memory = (ctypes.c_uint32 * 2**45).from_address(0)
    immortal = memory[id(None) >> 2]
    tracked = gc.get_objects()
    found = gc.get_referents(*tracked)
    kinds = {kind for kind in set(map(type, found)) if kind in _KINDS or issubclass(kind, type)}
    # The collector does not look into code.
    code = [each.__code__ for each in tracked if type(each) is types.FunctionType]
    while found:
        # An object is found more than once. To remember them all would take longer.
        for each in found:
            if type(each) in kinds:
                memory[id(each) >> 2] = immortal
        found = []
        for each in code:
            found += (each.co_consts, each.co_names, *each.co_consts, *each.co_names)
        code = [each for each in found if type(each) is types.CodeType]


def _is_possible() -> bool:
    """Whether this Python has immortal objects, and keeps its counters where we look for them."""
    return (
        sys.implementation.name == "cpython"
        and (sys.maxsize, sys.byteorder) == (2**63 - 1, "little")
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
        and not hasattr(sys, "gettotalrefcount")  # of a debug build
        and ctypes.c_int32.from_address(id(None)).value < 0
    )
