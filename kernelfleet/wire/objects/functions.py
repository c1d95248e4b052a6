"""Pickling functions and classes: which of them travel by value, and what travels with them.

What can be imported by its name goes by reference (``references.py``). Everything else goes by
value: functions with closure, defaults, annotations, file name, source lines and the globals that
they refer to; classes with their members. ``arrivals.py`` has what makes them at the other end.

This module needs the standard library and cloudpickle only.
"""

from __future__ import annotations

import builtins
import functools
import io
import pickle
import sys
import types
import weakref
from collections.abc import Callable
from enum import Enum
from typing import IO, Any

from kernelfleet.wire.objects import (
    arrivals,
    pythons,
    recursion,
    sources,
)
from kernelfleet.wire.objects import cloudpickling as cp
from kernelfleet.wire.objects.exceptions import reduce_exception
from kernelfleet.wire.objects.references import (
    MAIN,
    home_of,
    is_importable,
)

#: Names that IPython puts into a namespace. Every IPython process has its own.
_OF_IPYTHON = frozenset(("get_ipython", "exit", "quit", "open", "display"))
_HISTORIES = frozenset(("In", "Out", "_ih", "_oh", "_dh"))
#: Attributes of a module that its functions need for relative imports.
_OF_A_MODULE = ("__package__", "__name__", "__path__", "__file__")


class FleetPickler(cp.Pickler):  # type: ignore[misc]
    """cloudpickle's pickler with kernelfleet's rules for functions, classes and exceptions."""

    #: Whether exceptions travel with their causes.
    with_causes = True
    #: Receivers that run another Python, to which nothing with compiled code can be sent.
    other_pythons: pythons.OtherPythons = pythons.NONE

    def __init__(
        self,
        file: IO[bytes],
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self._globals: dict[tuple[int, bool, bool], _Globals] = {}
        self._cells: dict[str, sources.Source] = {}

    def reducer_override(self, obj: Any) -> Any:
        """Reduce functions, classes and exceptions. Everything else is left to cloudpickle."""
        kind = type(obj)
        if kind is types.FunctionType:
            return NotImplemented if home_of(obj) is not None else self._reduce_function(obj)
        if kind is types.CodeType:
            if self.other_pythons:
                raise pythons.refusal(f"the code of {obj.co_name!r}", self.other_pythons)
            return sources.reduce_code(obj)
        if isinstance(obj, type):
            if obj in cp.builtin_types or obj.__module__ == "builtins":
                return cp.reduce_class(obj)
            return NotImplemented if home_of(obj) is not None else _reduce_class(obj)
        if isinstance(obj, BaseException):
            return reduce_exception(obj, self._dumped, with_causes=self.with_causes)
        reduce = _REDUCERS.get(kind)
        return NotImplemented if reduce is None else reduce(obj)

    def _dumped(self, value: object) -> bytes:
        """Pickle a value by itself, so that the rest can be pickled even if this fails."""
        stream = io.BytesIO()
        pickler = type(self)(stream)
        pickler.with_causes, pickler.other_pythons = False, self.other_pythons
        pickler.dump(value)
        return stream.getvalue()

    def _reduce_function(self, func: types.FunctionType) -> tuple[Any, ...]:
        if self.other_pythons:
            raise pythons.refusal(f"the function {func.__qualname__!r}", self.other_pythons)
        falls_back, needs_module = _falls_back(func), _needs_module(func)
        key = id(func.__globals__), falls_back, needs_module
        where = self._globals.get(key)
        if where is None:
            where = self._globals[key] = _Globals(func, falls_back, needs_module)
        state, slots = cp.function_state(func)
        brought = slots["__globals__"]
        if where.is_main:
            own = {k: v for k, v in brought.items() if recursion.is_itself(v, func)}
            slots["__globals__"] = {
                k: v for k, v in brought.items() if k not in own and not _is_local(k, v, func)
            }
            if own:
                slots[arrivals.ITSELF] = own
        elif where.importable:
            slots["__globals__"] = {}
        source = sources.source_of(func.__code__, self._cells)
        if source is not None:
            slots[arrivals.SOURCE] = source
        n_cells = len(func.__code__.co_freevars)
        args = (func.__code__, where, n_cells if func.__closure__ is not None else -1)
        setter = arrivals.set_function_state
        return (arrivals.make_function, args, (state, slots), None, None, setter)


class _Globals:
    """Stands in a pickle for the globals of a module's functions; one per module and load."""

    def __init__(self, func: types.FunctionType, falls_back: bool, needs_module: bool) -> None:
        namespace = func.__globals__
        self.name: str = namespace.get("__name__") or func.__module__ or "__main__"
        self.is_main = self.name in MAIN
        module = sys.modules.get(self.name)
        self.importable = (
            needs_module
            and not self.is_main
            and getattr(module, "__dict__", None) is _of_module(namespace)
            and is_importable(module)
        )
        self._info = {key: namespace[key] for key in _OF_A_MODULE if key in namespace}
        self._falls_back = falls_back
        # Keeps the dict alive, because the pickler uses its id as a key.
        self._namespace = namespace

    def __reduce__(self) -> tuple[Any, ...]:
        if self.is_main:
            return arrivals.make_globals, ("__main__", {}, False)
        if self.importable:
            return arrivals.module_globals, (self.name, self._falls_back)
        return arrivals.make_globals, (self.name, self._info, self._falls_back)


def _of_module(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the module's globals, also if the function has arrived with a view of them."""
    return getattr(namespace, "module", None) or namespace


def _is_local(name: str, value: object, func: types.FunctionType) -> bool:
    """Tell whether a name is IPython's, which every process has and no function brings along."""
    if name in _OF_IPYTHON:
        home = getattr(value, "__globals__", {}).get("__name__")  # that of IPython's open: "io"
        owners = (home, getattr(value, "__module__", None), type(value).__module__)
        return any(str(owner).startswith(("IPython", "ipykernel")) for owner in owners)
    return name in _HISTORIES and "get_ipython" in func.__globals__


def _falls_back(func: types.FunctionType) -> bool:
    """Tell whether a function made inside a module shall see the engine's variables, too.

    It does if its code uses names that the module lacks, unless it assigns to globals, because
    those are the module's.
    """
    namespace = _of_module(func.__globals__)
    if namespace.get("__name__") in MAIN:
        return False
    for name in cp.global_names(func.__code__):
        if name not in namespace and not hasattr(builtins, name):
            return not recursion.assigns_globals(func.__code__)
    return False


def _needs_module(func: types.FunctionType) -> bool:
    """Tell whether a function made inside a module refers to anything in the module.

    If it does not, the engine need not be able to import the module.
    """
    namespace = _of_module(func.__globals__)
    names = cp.global_names(func.__code__)
    return any(name in namespace for name in names) or recursion.assigns_globals(func.__code__)


def _reduce_method(method: types.MethodType) -> Any:
    """Reduce a method to its object and its name; cloudpickle pickles its function by value."""
    owner = method.__self__ if isinstance(method.__self__, type) else type(method.__self__)
    name = method.__name__
    if home_of(owner) is None or getattr(method.__self__, name, None) != method:
        return NotImplemented
    return getattr, (method.__self__, name)


def _reduce_cached(function: Any) -> Any:
    """Reduce what ``functools.lru_cache`` returns, without the cached values."""
    if home_of(function) is not None:
        return NotImplemented
    return arrivals.make_cached, (function.__wrapped__, function.cache_parameters())


def _reduce_cached_property(made: functools.cached_property[Any]) -> Any:
    return arrivals.make_cached_property, (made.func, made.attrname, made.__doc__)


def _reduce_weak(items: Any) -> Any:
    return arrivals.make_weak, (type(items), dict(items))


def _reduce_module(module: types.ModuleType) -> Any:
    """Reduce a module that cannot be imported elsewhere to its variables."""
    if module.__name__ in MAIN or is_importable(module):
        return NotImplemented
    variables = {k: v for k, v in vars(module).items() if k not in _MACHINERY}
    return cp.make_module, (module.__name__, variables)


#: Variables that a module has from its import, and that a copy does not get.
_MACHINERY = frozenset(("__builtins__", "__loader__", "__spec__", "__cached__"))

#: Reducers for types that pickle and cloudpickle cannot pickle, or pickle by value needlessly.
_REDUCERS: dict[Any, Callable[[Any], Any]] = {
    types.MethodType: _reduce_method,
    types.ModuleType: _reduce_module,
    functools._lru_cache_wrapper: _reduce_cached,
    functools.cached_property: _reduce_cached_property,
    weakref.WeakKeyDictionary: _reduce_weak,
    weakref.WeakValueDictionary: _reduce_weak,
}


def _reduce_class(cls: type) -> tuple[Any, ...]:
    """Reduce a class by value, with makers that leave a class alone where it is defined."""
    maker, args, state, _, _, setter = cp.reduce_class_by_value(cls)
    if maker not in (cp.make_class, cp.make_enum):
        return (maker, args, state, None, None, setter)
    members, slots = state
    members.pop("__slotnames__", None)  # what copyreg has cached for this class
    if "__slots__" in members and maker is cp.make_class:
        args, members = _with_slots(args, members)
    ours = arrivals.make_enum if issubclass(cls, Enum) else arrivals.make_class
    args = (cls.__qualname__, *args)
    return (ours, args, (members, slots), None, None, arrivals.set_class_state)


def _with_slots(args: tuple[Any, ...], members: dict[str, Any]) -> tuple[Any, Any]:
    """Have the class made with its slots: cloudpickle 3.1 sets them after it is made."""
    begins_with = {**args[cp.TYPE_KWARGS], "__slots__": members["__slots__"]}
    args = (*args[: cp.TYPE_KWARGS], begins_with, *args[cp.TYPE_KWARGS + 1 :])
    kept = {
        name: value
        for name, value in members.items()
        if name != "__slots__" and type(value) is not types.MemberDescriptorType
    }
    return args, kept
