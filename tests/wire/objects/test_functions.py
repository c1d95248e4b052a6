"""Functions and classes by value; a second process stands for the engine."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from kernelfleet.wire.objects import arrivals
from kernelfleet.wire.objects.arrivals import load
from kernelfleet.wire.objects.functions import FleetPickler

ROOT = Path(__file__).resolve().parents[3]


def dumps(obj: object) -> bytes:
    stream = io.BytesIO()
    FleetPickler(stream).dump(obj)
    return stream.getvalue()


def copy(obj: Any) -> Any:
    return load(dumps(obj))


def in_main(source: str, **names: Any) -> dict[str, Any]:
    """Run code as a notebook's ``__main__`` would."""
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, namespace)
    return namespace


class Provider:
    """An engine's namespace without an engine."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {"__name__": "__main__"}
        self.brought: list[dict[str, Any]] = []

    def namespace(self) -> dict[str, Any]:
        return self.user_ns

    def hide(self, names: dict[str, Any]) -> None:
        self.user_ns.update(names)

    def bring(self, names: dict[str, Any]) -> None:
        self.brought.append(names)
        for name, value in names.items():
            self.user_ns.setdefault(name, value)


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    arrivals.set_namespace_provider(provider)
    yield provider
    arrivals.set_namespace_provider(None)


def local_function(x: int) -> int:
    return helper(x) + 1


def helper(x: int) -> int:
    return x * 10


def test_what_can_be_imported_is_the_very_same_there() -> None:
    for obj in (json.dumps, json.JSONDecoder, len, FleetPickler, local_function, Point, Color):
        assert copy(obj) is obj


# -- functions ------------------------------------------------------------------------------


def test_defaults_closures_annotations_and_attributes_travel() -> None:
    def outer(n: int) -> Callable[..., object]:
        def inner(a: int, b: int = 2, *rest: int, c: int = 3, **more: int) -> tuple[object, ...]:
            """Say it."""
            return a, b, rest, c, more, n

        inner.note = "kept"  # type: ignore[attr-defined]
        return inner

    inner = outer(9)
    there = copy(inner)
    assert there(1, c=5, d=6) == (1, 2, (), 5, {"d": 6}, 9)
    assert there.note == "kept"
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(there, name) == getattr(inner, name)


def test_functions_bring_what_they_refer_to() -> None:
    main = in_main("def helper(x): return x * 10\ndef f(x): return helper(x) + 1")
    assert copy(main["f"])(2) == 21


def test_recursion_and_mutual_recursion_work() -> None:
    main = in_main(
        "def fact(n): return 1 if n < 2 else n * fact(n - 1)\n"
        "def even(n): return n == 0 or odd(n - 1)\n"
        "def odd(n): return n != 0 and even(n - 1)\n"
        "def make():\n"
        "    def inner(n): return n if n == 0 else inner(n - 1)\n"
        "    return inner"
    )
    assert copy(main["fact"])(5) == 120
    assert copy(main["even"])(10) is True
    assert copy(main["make"]())(3) == 0


def test_functions_of_one_load_share_their_globals() -> None:
    main = in_main("n = 0\ndef up():\n    global n\n    n += 1\ndef get(): return n")
    up, get = copy([main["up"], main["get"]])
    up()
    assert get() == 1
    assert main["n"] == 0


def test_lambdas_generators_async_functions_and_partials_travel() -> None:
    import asyncio

    async def wait() -> str:
        await asyncio.sleep(0)
        return "waited"

    def count(n: int) -> Iterator[int]:
        yield from range(n)

    assert copy(lambda x: x + 1)(1) == 2
    assert list(copy(count)(3)) == [0, 1, 2]
    assert asyncio.run(copy(wait)()) == "waited"
    assert copy(functools.partial(local_function, 3))() == 31


def test_decorated_functions_travel() -> None:
    def shout(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def wrapper(*args: object) -> str:
            return function(*args).upper()

        return wrapper

    @shout
    def greet(name: str) -> str:
        return f"hello {name}"

    assert copy(greet)("you") == "HELLO YOU"


def test_cached_functions_travel() -> None:
    main = in_main(
        "import functools\n@functools.lru_cache(maxsize=7)\n"
        "def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)"
    )
    fib = copy(main["fib"])
    assert fib(50) == 12586269025
    assert fib.cache_parameters() == {"maxsize": 7, "typed": False}
    assert copy(functools.lru_cache(json.dumps).__wrapped__) is json.dumps


def test_a_librarys_wrapper_brings_nothing_into_the_engines_namespace(provider: Provider) -> None:
    import contextlib

    main = in_main("@contextlib.contextmanager\ndef here():\n    yield 5", contextlib=contextlib)
    with copy(main["here"])() as value:
        assert value == 5
    assert set(provider.user_ns) <= {"__name__", "contextlib"}


def test_submodules_that_a_function_uses_are_imported_there() -> None:
    main = in_main("import xml.dom.minidom\ndef f(): return xml.dom.minidom.parseString('<a/>')")
    data = dumps(main["f"])
    assert "xml.dom.minidom" in in_another_process(
        "import sys; f = thing; f(); print(*sys.modules)", data
    )


# -- on an engine ---------------------------------------------------------------------------


def test_functions_of_main_live_in_the_engines_namespace(provider: Provider) -> None:
    main = in_main("factor = 3\ndef f(x):\n    global seen\n    seen = x\n    return x * factor")
    there = copy(main["f"])
    assert there.__globals__ is provider.user_ns
    assert provider.brought == [{"factor": 3}]
    assert there(2) == 6
    assert provider.user_ns["seen"] == 2


def test_a_function_made_in_a_module_lives_in_that_module(provider: Provider) -> None:
    """Nothing of the module travels: not a lock that it holds, and not a copy of its state."""
    there = copy(lambda: (LOCK, helper(1)))
    assert there.__globals__ is globals()
    assert there() == (LOCK, 10)
    assert provider.brought == []


LOCK = threading.Lock()


def test_a_function_that_needs_nothing_of_its_module_needs_no_import_there() -> None:
    data = dumps(lambda x: len(x) + 1)
    code = f"print(thing('ab'), {__name__!r} in sys.modules)"
    assert in_another_process(code, data) == "3 False\n"
    data = dumps(lambda: helper(1))
    assert in_another_process(f"print(thing(), {__name__!r} in sys.modules)", data) == "10 True\n"


def test_only_names_that_the_module_lacks_fall_back_to_the_namespace(provider: Provider) -> None:
    provider.user_ns.update(pushed="there", helper=None, len=None)

    def function() -> tuple[object, ...]:
        return helper(1), pushed, len("abc")  # type: ignore[name-defined]  # noqa: F821

    assert copy(function)() == (10, "there", 3)
    assert copy(copy(function))() == (10, "there", 3)
    with pytest.raises(NameError):
        copy(lambda: nowhere)()  # type: ignore[name-defined]  # noqa: F821


def test_assigned_globals_of_a_module_are_the_modules(provider: Provider) -> None:
    def count() -> object:
        global COUNTED  # noqa: PLW0603
        COUNTED = COUNTED + 1 if "COUNTED" in globals() else 1  # type: ignore[name-defined]
        return COUNTED  # type: ignore[name-defined]

    there = copy(count)
    assert (there(), there()) == (1, 2)
    assert globals().pop("COUNTED") == 2
    assert "COUNTED" not in provider.user_ns


def test_a_module_made_at_run_time_travels_with_what_it_holds(provider: Provider) -> None:
    module = types.ModuleType("kf_made_here")
    exec("factor = 3\ndef f(): return factor, pushed", vars(module))
    provider.user_ns.update(pushed="there", factor=-1)
    sys.modules["kf_made_here"] = module
    try:
        assert copy(module.f)() == (3, "there")
        assert copy(module).factor == 3
        assert copy(module) is not module
    finally:
        del sys.modules["kf_made_here"]
    assert copy(module).factor == 3


def test_a_module_that_the_user_names_travels_by_value(provider: Provider) -> None:
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    try:
        there = copy(local_function)
        assert there is not local_function
        assert there.__globals__ is not globals()
        assert there(2) == 21
        assert copy(Plain) is Plain  # home again
    finally:
        cloudpickle.unregister_pickle_by_value(here)


class Plain:
    """Named by the test above."""


def test_names_of_ipython_stay_at_home() -> None:
    class FakeShell:
        pass

    FakeShell.__module__ = "IPython.core"
    main = in_main("def f(): return get_ipython, In, mine", get_ipython=FakeShell(), In=[], mine=1)
    there = copy(main["f"])
    assert there.__globals__["mine"] == 1
    assert "get_ipython" not in there.__globals__
    assert "In" not in there.__globals__


def test_a_users_own_function_of_a_name_of_ipythons_travels() -> None:
    """``open`` and ``display`` are IPython's only while nobody has defined others."""
    main = in_main(
        "def display(x): return 'mine', x\ndef open(x): return 'opened', x\n"
        "def f(): return display(1), open(2)"
    )
    assert copy(main["f"])() == (("mine", 1), ("opened", 2))


def test_in_and_out_are_ordinary_names_where_there_is_no_ipython() -> None:
    main = in_main("def f(): return In, Out", In=[1], Out={2: 3})
    assert copy(main["f"])() == ([1], {2: 3})


def test_a_function_of_a_module_that_is_not_there_knows_its_package_and_file() -> None:
    """It needs them for relative imports, which do not name them."""
    known = {"__name__": "kf_nowhere.inner", "__package__": "kf_nowhere", "__file__": "x.py"}
    namespace: dict[str, Any] = dict(known)
    exec("def f(): return 1", namespace)
    there = copy(namespace["f"]).__globals__
    assert {name: there.get(name) for name in known} == known


# -- classes --------------------------------------------------------------------------------


class Point:
    count = 0

    def __init__(self, x: int) -> None:
        self.x = x

    def double(self) -> Point:
        return Point(self.x * 2)

    @property
    def half(self) -> float:
        return self.x / 2

    @classmethod
    def origin(cls) -> Point:
        return cls(0)

    @staticmethod
    def helper() -> int:
        return helper(1)

    class Inner:
        pass


class SubPoint(Point):
    def double(self) -> Point:
        return super().double()


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Data:
    a: int
    b: list[int] = dataclasses.field(default_factory=list)


class MyError(Exception):
    pass


def test_a_class_at_home_comes_back_as_itself_and_unchanged() -> None:
    double = vars(Point)["double"]
    point = copy(Point(3))
    assert type(point) is Point
    assert vars(Point)["double"] is double
    assert copy(Color.RED) is Color.RED
    assert copy(Data(1, [2])) == Data(1, [2])
    assert copy(Point.Inner) is Point.Inner


def in_another_process(code: str, data: bytes) -> str:
    """Run code there; ``thing`` is what the data hold; returns what it prints."""
    prelude = (
        "import io, sys\n"
        "from kernelfleet.wire.objects import arrivals, functions\n"
        "def dumps(obj):\n"
        "    stream = io.BytesIO()\n"
        "    functions.FleetPickler(stream).dump(obj)\n"
        "    return stream.getvalue()\n"
        "thing = arrivals.load(sys.stdin.buffer.read())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", prelude + code],
        input=data,
        capture_output=True,
        check=False,
        timeout=30,
        cwd=os.sep,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode()


def round_trip(obj: object, change: str = "thing") -> Any:
    """Send an object to another process, which sends back what ``change`` makes of it."""
    text = in_another_process(f"print(dumps({change}).hex())", dumps(obj))
    return load(bytes.fromhex(text))


def test_methods_work_in_another_process() -> None:
    code = (
        "point = thing.double()\n"
        "print(point.x, point.half, thing.origin().x, thing.helper(), type(point).__qualname__)"
    )
    main = classes_of_main()
    assert in_another_process(code, dumps(main["Point"](3))) == "6 3.0 0 10 Point\n"
    assert in_another_process("print(thing.double().x)", dumps(main["SubPoint"](3))) == "6\n"
    inner = in_another_process("print(thing.__qualname__)", dumps(main["Point"].Inner))
    assert inner == "Point.Inner\n"


def classes_of_main() -> dict[str, Any]:
    """The classes of this file as a notebook's."""
    parts = (helper, Point, SubPoint, Data, Color, MyError)
    source = "\n".join(inspect.getsource(part) for part in parts)
    return in_main("from __future__ import annotations\nimport dataclasses, enum\n" + source)


@pytest.fixture
def main_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A ``__main__`` that has them."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    names = classes_of_main()
    for name, value in names.items():
        if not name.startswith("__"):
            setattr(module, name, value)
    return module


def test_nothing_is_imported_there_but_what_is_named() -> None:
    data = dumps(classes_of_main()["Point"](3))
    assert in_another_process(f"print({__name__!r} in sys.modules)", data) == "False\n"
    assert in_another_process(f"print({__name__!r} in sys.modules)", dumps(Point(3))) == "True\n"


def test_instances_of_main_made_elsewhere_are_of_the_class_at_home(
    main_module: types.ModuleType,
) -> None:
    there = round_trip(main_module.Point(3), "thing.double()")
    assert type(there) is main_module.Point
    assert there.x == 6
    assert type(round_trip(main_module.Data(1), "type(thing)(5)")) is main_module.Data
    assert round_trip(main_module.Color.RED) is main_module.Color.RED
    error = round_trip(main_module.MyError, "thing('boom')")
    assert type(error) is main_module.MyError
    assert error.args == ("boom",)
    assert not arrivals.is_foreign_class(main_module.MyError)


def test_instances_made_elsewhere_are_of_the_class_at_home() -> None:
    there = round_trip(Point(3), "thing.double()")
    assert type(there) is Point
    assert there.x == 6
    assert type(round_trip(Data(1), "type(thing)(5)")) is Data
    assert round_trip(Color.RED) is Color.RED


def test_an_exception_of_ones_own_comes_back_as_it_was() -> None:
    error = round_trip(MyError, "thing('boom')")
    assert type(error) is MyError
    assert error.args == ("boom",)
    assert not arrivals.is_foreign_class(MyError)


def test_a_class_that_exists_only_there_is_foreign_here() -> None:
    made = "type('OnlyThere', (Exception,), {'__module__': '__main__'})('boom')"
    error = round_trip(None, made)
    assert str(error) == "boom"
    assert arrivals.is_foreign_class(type(error))
    # the second time it is the same class
    assert type(copy(error)) is type(error)


def test_a_class_defined_on_both_sides_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Both(Exception):
        pass

    Both.__module__, Both.__qualname__ = "__main__", "Both"
    monkeypatch.setattr(sys.modules["__main__"], "Both", Both, raising=False)
    made = "type('Both', (Exception,), {'__module__': '__main__'})('boom')"
    assert type(round_trip(None, made)) is Both


def test_edits_of_a_class_take_effect_there(provider: Provider) -> None:
    main = in_main("class C:\n    value = 1")
    data = dumps(main["C"])
    del main["C"]  # the engine's process does not have it
    code = "C = thing\nimport pickle\nprint(C.value)"
    assert in_another_process(code, data) == "1\n"
    main = in_main("class C:\n    value = 1")
    before = dumps(main["C"])
    main["C"].value = 2
    after = dumps(main["C"])
    both = dumps((before, after))
    code = (
        "first, second = (arrivals.load(data) for data in thing)\n"
        "print(first is second, first.value)"
    )
    assert in_another_process(code, both) == "True 2\n"


def test_plain_pickle_can_load_what_we_wrote() -> None:
    assert pickle.loads(dumps(local_function))(1) == 11


def test_a_pickler_takes_large_buffers_out() -> None:
    np = pytest.importorskip("numpy")
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    array = np.arange(1000)
    FleetPickler(stream, lambda buffer: bool(buffers.append(buffer))).dump(array)  # type: ignore[func-returns-value]
    assert len(buffers) == 1
    assert (load(stream.getvalue(), buffers) == array).all()


# -- what cloudpickle leaves undone ---------------------------------------------------------


def test_a_class_with_slots_is_made_with_them() -> None:
    main = in_main(
        "import dataclasses\n"
        "class Slots:\n    __slots__ = ('a', '__b')\n"
        "    def __init__(self): self.a, self.__b = 1, 2\n"
        "    def get(self): return self.__b\n"
        "class Sub(Slots):\n    __slots__ = ('c',)\n"
        "class Open(Slots):\n    pass\n"
        "@dataclasses.dataclass(slots=True, frozen=True)\nclass Point:\n"
        "    x: int\n    y: int = 2\n"
    )
    code = (
        "import dataclasses\nslots, sub, open_, point = thing\nopen_.more = 5\n"
        "made = [hasattr(each, '__dict__') for each in thing]\n"
        "print(made, slots.a, slots.get(), sub.a, dataclasses.astuple(type(point)(7)))"
    )
    sub = main["Sub"]()
    assert sub.a == 1
    things = (main["Slots"](), sub, main["Open"](), main["Point"](1))
    printed = in_another_process(code, dumps(things))
    assert printed == "[False, False, True, False] 1 2 1 (7, 2)\n"


def test_a_method_of_an_importable_class_goes_by_its_name() -> None:
    for method in (Point.origin, Point(3).double, Color.RED.__str__):
        assert len(dumps(method)) < 200
    assert copy(Point.origin)().x == 0
    assert copy(Point(3).double)().x == 6


def test_a_bound_method_of_main_travels_with_its_object() -> None:
    point = classes_of_main()["Point"](3)
    assert in_another_process("print(thing().x)", dumps(point.double)) == "6\n"
    assert in_another_process("print(thing().x)", dumps(type(point).origin)) == "0\n"


def test_cached_properties_and_single_dispatch_of_main_travel() -> None:
    main = in_main(
        "import functools\nclass C:\n    @functools.cached_property\n"
        "    def v(self):\n        'Say it.'\n        return 42\n"
        "@functools.singledispatch\ndef f(x): return 'object'\n"
        "@f.register\ndef _(x: int): return 'int'\n"
    )
    main["f"](1)  # fills its cache
    code = (
        "f, c = thing\nprint(f(1), f('a'), c.v, c.__dict__, type(c).v.__doc__)\n"
        "f.register(str, lambda x: 'str')\nprint(f('a'))"
    )
    printed = in_another_process(code, dumps((main["f"], main["C"]())))
    assert printed == "int object 42 {'v': 42} Say it.\nstr\n"


def test_weak_dictionaries_travel_with_what_something_else_holds() -> None:
    key, value = Point(1), Point(2)
    keys = weakref.WeakKeyDictionary({key: 1, Point(5): 2})
    values = weakref.WeakValueDictionary({"a": value})
    key, value, keys, values = copy((key, value, keys, values))
    assert dict(keys) == {key: 1}
    assert dict(values) == {"a": value}
