"""Functions and classes by value: what travels with them and where it lands.

Functions and classes of ``__main__`` and of every module outside the standard library and
site-packages travel by value, so that edits take effect; the rest travels by reference. What a
function refers to travels with it. On an engine a function of ``__main__`` gets the engine's
namespace as its globals: it sees variables pushed there, and what it brought along is placed
there by the *namespace provider*, which the engine registers. A process without a provider
(the client) gives every load its own globals, as cloudpickle does.

A class returns home as itself: the process that defined it never sees it redefined by a copy.

This module needs the standard library and cloudpickle only; it is also shipped as source text
to Python kernels that are not ours.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import pickle
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable, Iterable
from enum import Enum
from typing import IO, Any, ClassVar, Protocol

from kernelfleet.exception_pickling import reduce_exception
from kernelfleet.wire import cloudpickling as cp
from kernelfleet.wire import pythons, sources

_MAIN = ("__main__", "__mp_main__")
_INSTALLED = ("site-packages", "dist-packages")
_OWN_PACKAGE = __name__.partition(".")[0]
#: What IPython puts into a namespace: every process has its own.
_OF_IPYTHON = frozenset(("get_ipython", "exit", "quit", "open", "display"))
_HISTORIES = frozenset(("In", "Out", "_ih", "_oh", "_dh"))
_SOURCE = "_kernelfleet_source"


class NamespaceProvider(Protocol):
    """The engine's side: where functions of ``__main__`` live and how names come in."""

    def namespace(self) -> dict[str, Any]:
        """Return the namespace that is the globals of functions of ``__main__``."""

    def bring(self, names: dict[str, Any]) -> None:
        """Place what a function brought along, leaving alone what the user put there."""


class _State:
    """What this process knows."""

    provider: NamespaceProvider | None = None
    by_value: ClassVar[dict[str, bool | None]] = {}
    #: Classes that came from elsewhere; all others are at home here and never overwritten.
    foreign: ClassVar[weakref.WeakSet[type]] = weakref.WeakSet()


def set_namespace_provider(provider: NamespaceProvider | None) -> None:
    """Make this process an engine: functions of ``__main__`` land in the provider's namespace."""
    _State.provider = provider


def is_foreign_class(cls: type) -> bool:
    """Tell whether the class was built here from a pickle, so that nobody here can name it."""
    return cls in _State.foreign


def load(data: Any, buffers: Iterable[Any] = ()) -> Any:
    """Unpickle what ``FleetPickler`` wrote."""
    return pickle.loads(data, buffers=buffers)


# -- what travels by value ------------------------------------------------------------------


def module_travels_by_value(name: str | None) -> bool | None:
    """Decide for a module's functions and classes; None leaves it to cloudpickle's rule."""
    if name is None:
        return None
    if name in _MAIN:
        return True
    if name not in _State.by_value:
        decision = _decide(name)
        if name not in sys.modules:
            return decision
        _State.by_value[name] = decision
    return _State.by_value[name]


def _decide(name: str) -> bool | None:
    top = name.partition(".")[0]
    if top == _OWN_PACKAGE or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str):
        return None
    if not file.endswith((".py", ".pyc", ".pyw")):
        return False  # a compiled module: its classes cannot be taken apart
    path = os.path.realpath(file)
    if any(part in _INSTALLED for part in path.split(os.sep)):
        return False
    return not path.startswith(_stdlib_folders())


def _stdlib_folders() -> tuple[str, ...]:
    folders = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    return tuple(os.path.realpath(folder) + os.sep for folder in folders if folder)


class FleetPickler(cp.Pickler):  # type: ignore[misc]
    """cloudpickle's pickler with kernelfleet's rules for functions, classes and exceptions."""

    #: Whether exceptions take along what caused them.
    with_causes = True
    #: Who will load this and runs another Python: nothing that holds code can go there.
    other_pythons: pythons.OtherPythons = pythons.NONE

    def __init__(
        self,
        file: IO[bytes],
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self._globals: dict[int, _Globals] = {}
        self._cells: dict[str, sources.Source] = {}

    def reducer_override(self, obj: Any) -> Any:
        """Reduce functions and classes; everything else goes cloudpickle's way."""
        kind = type(obj)
        if kind is types.FunctionType:
            if module_travels_by_value(obj.__module__) or not cp.is_found_by_name(obj):
                return self._reduce_function(obj)
            return NotImplemented
        if kind is types.CodeType:
            if self.other_pythons:
                raise pythons.refusal(f"the code of {obj.co_name!r}", self.other_pythons)
            return sources.reduce_code(obj)
        if kind is functools._lru_cache_wrapper:
            if module_travels_by_value(obj.__module__):
                return make_cached, (obj.__wrapped__, obj.cache_parameters())
            return NotImplemented
        if isinstance(obj, type):
            if module_travels_by_value(obj.__module__):
                return _reduce_class(obj)
            reduced = cp.reduce_class(obj)
            return reduced if reduced is NotImplemented else _with_our_setter(obj, reduced)
        if isinstance(obj, BaseException):
            return reduce_exception(obj, self._dumped, with_causes=self.with_causes)
        return NotImplemented

    def _dumped(self, value: object) -> bytes:
        """A value pickled by itself, for what must not spoil the rest if it fails."""
        stream = io.BytesIO()
        pickler = type(self)(stream)
        pickler.with_causes, pickler.other_pythons = False, self.other_pythons
        pickler.dump(value)
        return stream.getvalue()

    def _reduce_function(self, func: types.FunctionType) -> tuple[Any, ...]:
        if self.other_pythons:
            raise pythons.refusal(f"the function {func.__qualname__!r}", self.other_pythons)
        where = self._globals.get(id(func.__globals__))
        if where is None:
            where = self._globals[id(func.__globals__)] = _Globals(func)
        state, slots = cp.function_state(func)
        if where.name in _MAIN:
            brought = slots["__globals__"]
            slots["__globals__"] = {k: v for k, v in brought.items() if not _is_local(k, v, func)}
        source = sources.source_of(func.__code__, self._cells)
        if source is not None:
            slots[_SOURCE] = source
        n_cells = len(func.__code__.co_freevars)
        args = (func.__code__, where, n_cells if func.__closure__ is not None else -1)
        return (make_function, args, (state, slots), None, None, set_function_state)


class _Globals:
    """Stands in a pickle for the globals of one module's functions; one per module and load."""

    def __init__(self, func: types.FunctionType) -> None:
        namespace = func.__globals__
        self.name: str = namespace.get("__name__") or func.__module__ or "__main__"
        kept = ("__package__", "__name__", "__path__", "__file__")
        self.info = {key: namespace[key] for key in kept if key in namespace}
        by_value = self.name not in _MAIN and module_travels_by_value(self.name)
        self.falls_back = bool(by_value) and _has_unresolved_names(func)
        # keeps the dict alive: its id is the pickler's key
        self._namespace = namespace

    def __reduce__(self) -> tuple[Any, ...]:
        if self.name in _MAIN:
            return make_globals, ("__main__", {}, False)
        return make_globals, (self.name, self.info, self.falls_back)


def _is_local(name: str, value: object, func: types.FunctionType) -> bool:
    """Names that every IPython process has for itself: they are not brought along."""
    if name in _OF_IPYTHON:
        home = getattr(value, "__globals__", {}).get("__name__")  # IPython's open says "io"
        owners = (home, getattr(value, "__module__", None), type(value).__module__)
        return any(str(owner).startswith(("IPython", "ipykernel")) for owner in owners)
    return name in _HISTORIES and "get_ipython" in func.__globals__


def _has_unresolved_names(func: types.FunctionType) -> bool:
    """Whether code of the function's module refers to names that are nowhere in the module."""
    namespace = func.__globals__
    members: list[Any] = [func, *namespace.values()]
    for value in list(namespace.values()):
        if isinstance(value, type) and value.__module__ == namespace.get("__name__"):
            members.extend(getattr(member, "__func__", member) for member in vars(value).values())
    codes = [
        member.__code__
        for member in members
        if isinstance(member, types.FunctionType) and member.__globals__ is namespace
    ]
    return any(
        name not in namespace and not hasattr(builtins, name)
        for code in codes
        for name in cp.global_names(code)
    )


def _reduce_class(cls: type) -> tuple[Any, ...]:
    return _with_our_setter(cls, cp.reduce_class_by_value(cls))


def _with_our_setter(cls: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Let our own functions build the class, so that a class at home stays as it is."""
    maker = make_enum if issubclass(cls, Enum) else make_class
    if reduced[0] not in (cp.make_class, cp.make_enum):
        return reduced
    return (maker, (cls.__qualname__, *reduced[1]), reduced[2], None, None, set_class_state)


# -- what a pickle calls when it is loaded --------------------------------------------------


class _FallbackGlobals(dict[str, Any]):
    """Globals of a local module whose code also uses names of the engine's namespace."""

    def __missing__(self, key: str) -> Any:
        provider = _State.provider
        if provider is None or hasattr(builtins, key):
            raise KeyError(key)
        return provider.namespace()[key]


def make_globals(name: str, info: dict[str, Any], falls_back: bool) -> dict[str, Any]:
    """Give the globals for one module's functions of one load."""
    provider = _State.provider
    if provider is not None and name == "__main__":
        return provider.namespace()
    fresh: dict[str, Any] = _FallbackGlobals() if falls_back and provider is not None else {}
    fresh.update(info, __name__=name, __builtins__=builtins)
    return fresh


def make_function(
    code: types.CodeType, namespace: dict[str, Any], n_cells: int
) -> types.FunctionType:
    """Build a function without its state, which may refer to the function itself."""
    closure = None if n_cells < 0 else tuple(types.CellType() for _ in range(n_cells))
    return types.FunctionType(code, namespace, None, None, closure)


def set_function_state(func: types.FunctionType, state: tuple[dict[str, Any], Any]) -> None:
    """Fill closure and attributes in, and place what the function brought along."""
    attributes, slots = state
    func.__dict__.update(attributes)
    brought = slots.pop("__globals__")
    closure = slots.pop("__closure__")
    slots.pop("_cloudpickle_submodules", None)
    source = slots.pop(_SOURCE, None)
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


def make_cached(func: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    """Build what ``functools.lru_cache`` gives; the cached values stay at home."""
    cached: Callable[..., Any] = functools.lru_cache(**parameters)(func)
    return cached


def make_class(
    qualname: str,
    constructor: Any,
    name: str,
    bases: tuple[type, ...],
    type_kwargs: dict[str, Any],
    tracker_id: str,
    extra: Any,
) -> type:
    """Find the class at home, or else build it without its members."""
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
    """Find the enumeration at home, or else build it."""
    known = _known_class(tracker_id, module, qualname)
    if known is not None:
        return known
    built = cp.make_enum(bases, name, own_qualname, members, module, tracker_id, extra)
    _State.foreign.add(built)
    return built  # type: ignore[no-any-return]


def set_class_state(cls: type, state: Any) -> None:
    """Give a class from elsewhere its members; a class at home keeps its own."""
    if cls in _State.foreign:
        cp.set_class_state(cls, state)


def _known_class(tracker_id: str, module: str | None, qualname: str) -> type | None:
    """The class that has travelled before, or, on a client, the one of the same name."""
    known = cp.classes_by_id.get(tracker_id)
    if known is not None or _State.provider is not None or module is None:
        return known
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and found.__module__ == module and found not in _State.foreign:
        return found
    return None
