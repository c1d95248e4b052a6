"""What kernelfleet takes from cloudpickle, its private parts included, in one place.

cloudpickle promises only ``dump`` and ``load``. Rules of our own for functions and classes need
more of it, so each private part is taken here under a name of ours, says what it is taken for, and
has a test of its own in ``tests/wire/objects/test_cloudpickling.py``, which fails when a release
changes it. Tested with cloudpickle 3.1.0 to 3.1.3.
"""

from __future__ import annotations

import types
from collections.abc import Callable, MutableMapping
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as _cp

Reduced = tuple[Any, ...]


def part(name: str) -> Any:
    """Return one of cloudpickle's private parts.

    Raises:
        ImportError: This release has no part of that name.
    """
    try:
        return getattr(_cp, name)
    except AttributeError:
        raise ImportError(
            f"kernelfleet does not know this release of cloudpickle ({cloudpickle.__version__} has "
            f"no {name!r}): pip install 'cloudpickle>=3.1,<=3.1.3'"
        ) from None


#: The pickler whose reducers serve everything that has no rule of ours: cells, properties, loggers,
#: memory views, dataclass fields, type variables and more.
Pickler: type = _cp.Pickler

#: ``(attributes, slots)`` of a function: what ``make_function`` cannot be given. ``slots`` has
#: ``__globals__`` (those its code names) and ``__closure__``, and keeps submodules alive that the
#: code reaches through their package, under ``_cloudpickle_submodules``.
function_state: Callable[[types.FunctionType], tuple[dict[str, Any], dict[str, Any]]] = part(
    "_function_getstate"
)

#: The names of globals that a code object reads or writes, nested code included. Cached there.
global_names: Callable[[types.CodeType], MutableMapping[str, None]] = part("_extract_code_globals")

#: A class by value: ``(maker, arguments, state, None, None, setter)``.
reduce_class_by_value: Callable[[type], Reduced] = part("_dynamic_class_reduce")

#: A class by cloudpickle's own rule; used only for types of builtins (``type(None)``).
reduce_class: Callable[[type], Reduced] = part("_class_reduce")

#: The types that ``types`` has names for and builtins has not (``types.CodeType``).
builtin_types: MutableMapping[type, str] = part("_BUILTIN_TYPE_NAMES")

#: The makers that ``reduce_class_by_value`` names; they build the class without its members.
make_class: Callable[..., Any] = part("_make_skeleton_class")
make_enum: Callable[..., Any] = part("_make_skeleton_enum")

#: Which argument of ``make_class`` is the dict that the class body begins with.
TYPE_KWARGS = 3

#: Fills in the members of a class that a maker has built.
set_class_state: Callable[[type, Any], Any] = part("_class_setstate")

#: Classes that have travelled, by the id that they travel with.
classes_by_id: MutableMapping[str, type] = part("_DYNAMIC_CLASS_TRACKER_BY_ID")

#: Builds a module from its name and its variables: one that nothing can import.
make_module: Callable[[str, dict[str, Any]], types.ModuleType] = _cp.dynamic_subimport

#: What ``cloudpickle.register_pickle_by_value`` was told: names of modules.
by_value_names: set[str] = part("_PICKLE_BY_VALUE_MODULES")


def is_registered_by_value(module: types.ModuleType) -> bool:
    """Whether the user has named the module, or a package that it is in."""
    if not by_value_names:
        return False
    return bool(part("_is_registered_pickle_by_value")(module))
