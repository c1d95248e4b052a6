"""What is taken from cloudpickle does what we take it for; one test for each thing."""

from __future__ import annotations

import enum
import io
import json
import pickle
import sys
import types
from typing import Any

import cloudpickle
import pytest

from kernelfleet.wire.objects import cloudpickling

ANYTHING = 7


def uses_globals(argument: int) -> tuple[object, ...]:
    nested = lambda: ANYTHING  # noqa: E731
    return argument, json, nested, len("")


class Plain:
    """A class by name."""

    value = 1


def test_a_part_that_is_not_there_is_told_with_the_release() -> None:
    with pytest.raises(ImportError, match=rf"{cloudpickle.__version__} has no '_nothing'.*pip in"):
        cloudpickling.part("_nothing")


def test_the_pickler_calls_reducer_override_and_has_reducers_for_the_rest() -> None:
    asked: list[object] = []

    class Watched(cloudpickling.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: object) -> object:
            asked.append(obj)
            return NotImplemented

    stream = io.BytesIO()
    cell = types.CellType(5)
    Watched(stream, protocol=5).dump((cell, property(json.dumps), memoryview(b"abc"), {}.keys()))
    came = pickle.loads(stream.getvalue())
    assert came[0].cell_contents == 5
    assert came[1].fget is json.dumps
    assert came[2:] == (b"abc", {}.keys())
    assert any(each is cell for each in asked)


def test_function_state_gives_everything_but_code_and_cells() -> None:
    held = 3

    def function(a: int = 1, *, b: int = 2) -> object:
        """Say it."""
        return held, ANYTHING, a, b

    function.note = "kept"  # type: ignore[attr-defined]
    attributes, slots = cloudpickling.function_state(function)  # type: ignore[arg-type]
    assert attributes == {"note": "kept"}
    assert slots.pop("__closure__")[0].cell_contents == 3
    assert slots.pop("__globals__") == {"ANYTHING": ANYTHING}
    assert slots.pop("_cloudpickle_submodules") == []
    assert slots == {
        name: getattr(function, name)
        for name in (
            "__name__", "__qualname__", "__annotations__", "__kwdefaults__", "__defaults__",
            "__module__", "__doc__",
        )
    }  # fmt: skip


def test_function_state_names_submodules_that_are_reached_through_their_package() -> None:
    namespace: dict[str, Any] = {}
    exec("import xml.dom.minidom\ndef f(): return xml.dom.minidom.parseString", namespace)
    _, slots = cloudpickling.function_state(namespace["f"])
    assert sys.modules["xml.dom.minidom"] in slots["_cloudpickle_submodules"]


def test_global_names_are_those_of_nested_code_too() -> None:
    names = list(cloudpickling.global_names(uses_globals.__code__))
    assert sorted(names) == ["ANYTHING", "json", "len"]


def test_a_class_by_value_is_a_maker_its_arguments_and_a_state() -> None:
    reduced = cloudpickling.reduce_class_by_value(Plain)
    assert reduced[0] is cloudpickling.make_class
    assert reduced[5] is cloudpickling.set_class_state
    constructor, name, bases, begins_with, tracker_id, _ = reduced[1]
    assert (constructor, name, bases) == (type, "Plain", (object,))
    assert begins_with == reduced[1][cloudpickling.TYPE_KWARGS] == {"__module__": __name__}
    assert cloudpickling.classes_by_id[tracker_id] is Plain
    members, slots = reduced[2]
    assert members["value"] == 1
    assert members["__doc__"] == "A class by name."
    assert slots == {}


def test_make_class_builds_a_class_and_remembers_it_by_its_id() -> None:
    arguments = (type, "Made", (Plain,), {"__module__": "somewhere"}, "an id of ours", None)
    made = cloudpickling.make_class(*arguments)
    assert (made.__name__, made.__module__, made.__bases__) == ("Made", "somewhere", (Plain,))
    assert cloudpickling.classes_by_id["an id of ours"] is made
    assert cloudpickling.make_class(*arguments) is made


def test_set_class_state_sets_the_members() -> None:
    made = cloudpickling.make_class(type, "Made", (), {}, "another id of ours", None)
    cloudpickling.set_class_state(made, ({"value": 5, "__doc__": "Said."}, {}))
    assert (made.value, made.__doc__) == (5, "Said.")


def test_an_enumeration_by_value_is_a_maker_and_its_members() -> None:
    class Color(enum.Enum):
        RED = 1

    maker, arguments, state, _, _, setter = cloudpickling.reduce_class_by_value(Color)
    assert maker is cloudpickling.make_enum
    assert setter is cloudpickling.set_class_state
    assert cloudpickling.classes_by_id[arguments[5]] is Color
    made = maker(*arguments[:5], "a third id of ours", None)
    setter(made, state)
    assert [(each.name, each.value) for each in made] == [("RED", 1)]


def test_types_of_builtins_have_reductions_of_their_own() -> None:
    for kind in (type(None), type(...), type(NotImplemented), types.CodeType):
        maker, arguments = cloudpickling.reduce_class(kind)[:2]
        assert maker(*arguments) is kind
    assert cloudpickling.builtin_types[types.CodeType] == "CodeType"


def test_make_module_builds_one_that_nothing_can_import() -> None:
    module = cloudpickling.make_module("made_here", {"value": 3})
    assert (module.__name__, module.value) == ("made_here", 3)
    assert "made_here" not in sys.modules


def test_modules_that_the_user_has_named_are_known_and_what_is_in_them() -> None:
    assert not cloudpickling.is_registered_by_value(json)
    before = set(cloudpickling.by_value_names)  # what other tests of this process have named
    cloudpickle.register_pickle_by_value(json)
    try:
        assert cloudpickling.by_value_names == before | {"json"}
        assert cloudpickling.is_registered_by_value(json)
        assert cloudpickling.is_registered_by_value(sys.modules["json.decoder"])
        assert not cloudpickling.is_registered_by_value(enum)
    finally:
        cloudpickle.unregister_pickle_by_value(json)
    assert not cloudpickling.is_registered_by_value(json)
