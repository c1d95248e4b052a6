"""Functions and classes as they arrive: what a pickle calls when it is loaded.

On an engine, a function of ``__main__`` has the engine's namespace as its globals. It sees the
variables there, and the *namespace provider*, which the engine registers, places there what the
function has brought along. A function made inside an importable module has that module's globals.
A process without a provider (the client) makes new globals for each load, as cloudpickle does.

A class that returns to the process that has defined it is the class itself, never a copy.

This module needs the standard library and cloudpickle only.
"""

from __future__ import annotations

import builtins
import functools
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

from kernelfleet.wire.objects import cloudpickling as cp
from kernelfleet.wire.objects import recursion, sources

#: Keys that kernelfleet adds to a function's state: its source, and the names under which it
#: refers to itself.
SOURCE, ITSELF = "_kernelfleet_source", "_kernelfleet_itself"


class NamespaceProvider(Protocol):
    """The namespace of functions of ``__main__``, which an engine provides."""

    def namespace(self) -> dict[str, Any]:
        """Return the namespace that is the globals of functions of ``__main__``."""

    def bring(self, names: dict[str, Any]) -> None:
        """Place what a function has brought along, but replace no variable of the user's."""

    def hide(self, names: dict[str, Any]) -> None:
        """Place names that no listing shows."""


class _State:
    """The state of this process."""

    provider: NamespaceProvider | None = None
    #: Classes made from a pickle. All others are defined here and are never overwritten.
    foreign: ClassVar[weakref.WeakSet[type]] = weakref.WeakSet()


def set_namespace_provider(provider: NamespaceProvider | None) -> None:
    """Make this process an engine: functions of ``__main__`` get the provider's namespace."""
    _State.provider = provider


def is_foreign_class(cls: type) -> bool:
    """Tell whether the class was made from a pickle, so that no name here leads to it."""
    return cls in _State.foreign


def load(data: Any, buffers: Iterable[Any] = ()) -> Any:
    """Unpickle what ``FleetPickler`` wrote.

    Raises:
        ModuleNotFoundError: A module is missing; a note says who cannot import it, and what to do.
    """
    try:
        return pickle.loads(data, buffers=buffers)
    except ModuleNotFoundError as error:
        who = "this engine" if _State.provider is not None else "this process"
        top = str(error.name).partition(".")[0]
        error.add_note(
            f"what was sent is of the module {error.name!r}, which {who} ({sys.executable}) cannot "
            f"import: install it there, or let it travel by value: mec.register_by_value({top!r})"
        )
        raise


# -- functions ------------------------------------------------------------------------------


class _FallbackGlobals(dict[str, Any]):
    """Globals of a module's function that also uses variables of the engine."""

    module: ClassVar[dict[str, Any]] = {}

    def __missing__(self, key: str) -> Any:
        if key in self.module:
            return self.module[key]
        provider = _State.provider
        if provider is None or hasattr(builtins, key):
            raise KeyError(key)
        return provider.namespace()[key]


def make_globals(name: str, info: dict[str, Any], falls_back: bool) -> dict[str, Any]:
    """Return the globals for the functions of one module in one load."""
    provider = _State.provider
    if provider is not None and name == "__main__":
        return provider.namespace()
    fresh: dict[str, Any] = _FallbackGlobals() if falls_back and provider is not None else {}
    fresh.update(info, __name__=name, __builtins__=builtins)
    return fresh


def module_globals(name: str, falls_back: bool) -> dict[str, Any]:
    """Return the globals of a function made inside an importable module: the module's own.

    With ``falls_back`` it is a view of them in which the engine's variables are found, too.
    """
    __import__(name)
    module = vars(sys.modules[name])
    if not falls_back or _State.provider is None:
        return module
    view = _FallbackGlobals(__name__=name, __builtins__=builtins)
    view.module = module  # type: ignore[misc]
    return view


def make_function(
    code: types.CodeType, namespace: dict[str, Any], n_cells: int
) -> types.FunctionType:
    """Make a function without its state, because the state may refer to the function."""
    closure = None if n_cells < 0 else tuple(types.CellType() for _ in range(n_cells))
    return types.FunctionType(code, namespace, None, None, closure)


def set_function_state(func: types.FunctionType, state: tuple[dict[str, Any], Any]) -> None:
    """Fill in closure and attributes, and place what the function has brought along."""
    attributes, slots = state
    func.__dict__.update(attributes)
    brought = slots.pop("__globals__")
    closure = slots.pop("__closure__")
    slots.pop("_cloudpickle_submodules", None)
    itself = slots.pop(ITSELF, {})
    source = slots.pop(SOURCE, None)
    if source is not None:
        func.__code__ = sources.with_source(func.__code__, source)
    provider = _State.provider
    if provider is not None and func.__globals__ is provider.namespace():
        provider.bring(brought)
    else:
        func.__globals__.update(brought)
    for mine, theirs in zip(func.__closure__ or (), closure or (), strict=True):
        try:
            mine.cell_contents = theirs.cell_contents
        except ValueError:
            continue  # an empty cell stays empty
    for name, value in slots.items():
        setattr(func, name, value)
    if not itself:
        return
    if provider is not None and func.__globals__ is provider.namespace():
        provider.bring(itself)
        recursion.bind(func, itself, provider.namespace(), provider.hide)
    else:
        func.__globals__.update(itself)


def make_cached(func: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    """Make what ``functools.lru_cache`` returns. Cached values do not travel."""
    cached: Callable[..., Any] = functools.lru_cache(**parameters)(func)
    return cached


def make_cached_property(func: Any, name: str | None, doc: str | None) -> Any:
    """Make a ``functools.cached_property``, whose lock in Python 3.11 cannot be pickled."""
    made: Any = functools.cached_property(func)
    made.attrname, made.__doc__ = name, doc
    return made


def make_weak(kind: type, items: dict[Any, Any]) -> Any:
    """Make a weak dictionary, such as ``functools.singledispatch`` has."""
    return kind(items)


# -- classes --------------------------------------------------------------------------------


def make_class(
    qualname: str,
    constructor: Any,
    name: str,
    bases: tuple[type, ...],
    type_kwargs: dict[str, Any],
    tracker_id: str,
    extra: Any,
) -> type:
    """Return the class if this process has it, else make it without its members."""
    known = _known_class(tracker_id, type_kwargs.get("__module__"), qualname)
    if known is not None:
        return known
    built = cp.make_class(constructor, name, bases, type_kwargs, tracker_id, extra)
    _State.foreign.add(built)
    built.__qualname__ = qualname
    return built  # type: ignore[no-any-return]


def make_enum(
    qualname: str,
    bases: tuple[type, ...],
    name: str,
    own_qualname: str,
    members: dict[str, Any],
    module: str,
    tracker_id: str,
    extra: Any,
) -> type:
    """Return the enumeration if this process has it, else make it."""
    known = _known_class(tracker_id, module, qualname)
    if known is not None:
        return known
    built = cp.make_enum(bases, name, own_qualname, members, module, tracker_id, extra)
    _State.foreign.add(built)
    return built  # type: ignore[no-any-return]


def set_class_state(cls: type, state: Any) -> None:
    """Give a class from elsewhere its members. A class that is defined here keeps its own."""
    if cls in _State.foreign:
        cp.set_class_state(cls, state)


def _known_class(tracker_id: str, module: str | None, qualname: str) -> type | None:
    """Return the class that has travelled before or, on a client, the one of the same name."""
    known = cp.classes_by_id.get(tracker_id)
    if known is not None or _State.provider is not None or module is None:
        return known
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and found.__module__ == module and found not in _State.foreign:
        return found
    return None
