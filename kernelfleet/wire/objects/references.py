"""What travels as its name, because the receiver can import it under that name.

As with pickle, a function or class goes by reference if its module can be imported and has the same
object under its qualified name. It does not matter where the module's file is. By value go what is
in ``__main__``, what was made at run time, and modules that the user has registered
(``mec.register_by_value``).

An engine also knows which of its modules the client can import. Others go to the client by value
(``Shared``).
"""

from __future__ import annotations

import importlib.machinery
import types
from collections.abc import Callable
from importlib import import_module
from sys import modules
from typing import Any, ClassVar
from zipimport import zipimporter

import cloudpickle

from kernelfleet.wire.objects import cloudpickling

#: A script or notebook, here and in a process of ``multiprocessing``.
MAIN = ("__main__", "__mp_main__")

_SUFFIXES = tuple(importlib.machinery.all_suffixes())


class Shared:
    """Asks whether the receiver of what this process packs can import a module; None means yes."""

    can_import: ClassVar[Callable[[str, types.ModuleType], bool] | None] = None


class _Known:
    """By module name: the spec that was examined, and why the module cannot be imported."""

    why: ClassVar[dict[str, tuple[Any, str]]] = {}


def register_by_value(module: types.ModuleType | str) -> None:
    """Let functions and classes of a module, and of its submodules, travel by value.

    Raises:
        TypeError: It is no module.
        ImportError: There is no module of that name.
    """
    if isinstance(module, str):
        module = import_module(module)
    if not isinstance(module, types.ModuleType):
        raise TypeError(f"a module travels by value, not {type(module).__name__}")
    cloudpickle.register_pickle_by_value(module)


def is_importable(module: types.ModuleType | None, name: str | None = None) -> bool:
    """Tell whether another process can be expected to import the module by its name.

    Args:
        module: The module.
        name: Under which it was found; by default what it calls itself. ``_io``, which has
            ``BytesIO`` and ``StringIO``, calls itself ``io`` before Python 3.12.
    """
    if name is None:
        name = getattr(module, "__name__", None)
    if module is None or not isinstance(name, str) or modules.get(name) is not module:
        return False
    if name in MAIN:
        return False
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return False  # made at run time
    known = _Known.why.get(name)
    if known is None or known[0] is not spec:
        known = _Known.why[name] = spec, _why_not(spec)
    if known[1] or cloudpickling.is_registered_by_value(module):
        return False
    return Shared.can_import is None or Shared.can_import(name, module)


def why_not_importable(module: types.ModuleType) -> str:
    """Say why a module that was imported here cannot be imported elsewhere; empty if it can."""
    known = _Known.why.get(module.__name__)
    return known[1] if known is not None and known[0] is module.__spec__ else ""


def _why_not(spec: Any) -> str:
    origin, loader = getattr(spec, "origin", None), getattr(spec, "loader", None)
    if origin in ("built-in", "frozen") or isinstance(loader, zipimporter):
        return ""
    if isinstance(origin, str) and origin.endswith(_SUFFIXES):
        return ""
    if origin is None and getattr(spec, "submodule_search_locations", None) is not None:
        return ""  # a namespace package
    if loader is None:
        return "it was made at run time"
    how = type(loader).__name__ if not isinstance(loader, type) else loader.__name__
    return f"only this process has its loader, {how}"


def home_of(obj: Any) -> types.ModuleType | None:
    """Return the importable module that has an object under its qualified name, or None."""
    path, name = getattr(obj, "__qualname__", None), getattr(obj, "__module__", None)
    if not isinstance(path, str) or not isinstance(name, str) or "<" in path:
        return None
    module = modules.get(name)
    if not is_importable(module, name):
        return None
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return module if found is obj else None
