"""What a pickle calls when it is loaded; what it is called with, ``test_functions.py`` holds."""

from __future__ import annotations

import functools
import json
import sys
import types
from typing import Any

import pytest

from kernelfleet.wire.objects import arrivals


def test_globals_of_an_importable_module_are_the_modules_own() -> None:
    assert arrivals.module_globals("json.decoder", False) is vars(sys.modules["json.decoder"])
    # without an engine's namespace there is nothing to fall back to
    assert arrivals.module_globals("json.decoder", True) is vars(sys.modules["json.decoder"])


def test_globals_of_a_module_that_is_not_there_name_it() -> None:
    with pytest.raises(ModuleNotFoundError, match="kf_no_such_module"):
        arrivals.module_globals("kf_no_such_module", False)


def test_globals_without_a_provider_are_of_this_load_alone() -> None:
    one, two = (arrivals.make_globals("__main__", {"__file__": "x.py"}, False) for _ in "ab")
    assert one is not two
    assert (one["__name__"], one["__file__"]) == ("__main__", "x.py")


def test_a_function_is_made_before_its_closure_is_filled() -> None:
    def outer(value: object) -> Any:
        return lambda: value

    made = arrivals.make_function(outer(1).__code__, {}, 1)
    with pytest.raises(ValueError, match="empty"):
        _ = made.__closure__[0].cell_contents  # type: ignore[index]
    slots = {"__globals__": {"a": 1}, "__closure__": outer(5).__closure__, "__doc__": "Say it."}
    arrivals.set_function_state(made, ({"note": 1}, slots))
    assert made() == 5
    assert made.__globals__["a"] == 1
    assert (made.__doc__, made.note) == ("Say it.", 1)  # type: ignore[attr-defined]


def test_an_empty_cell_stays_empty_and_those_after_it_are_filled() -> None:
    def outer(early: object, late: object) -> Any:
        return lambda: (early, late)

    made = arrivals.make_function(outer(1, 2).__code__, {}, 2)
    arrived = types.CellType(), types.CellType("late")
    arrivals.set_function_state(made, ({}, {"__globals__": {}, "__closure__": arrived}))
    empty, full = made.__closure__ or ()
    with pytest.raises(ValueError, match="empty"):
        _ = empty.cell_contents
    assert full.cell_contents == "late"


def test_a_cached_function_keeps_its_options_and_not_its_cache() -> None:
    made = arrivals.make_cached(json.dumps, {"maxsize": 3, "typed": True})
    assert made.cache_parameters() == {"maxsize": 3, "typed": True}  # type: ignore[attr-defined]
    assert made.cache_info().currsize == 0  # type: ignore[attr-defined]


def test_a_cached_property_keeps_its_name_and_text() -> None:
    made = arrivals.make_cached_property(lambda self: 42, "answer", "Say it.")
    assert isinstance(made, functools.cached_property)
    assert (made.attrname, made.__doc__) == ("answer", "Say it.")
    holder = type("Holder", (), {"answer": made})()
    assert holder.answer == 42
    assert vars(holder) == {"answer": 42}


def test_a_class_of_the_same_id_is_made_once_and_is_foreign() -> None:
    args = ("Outer.Made", type, "Made", (), {"__module__": "kf_nowhere"}, "an id", None)
    made = arrivals.make_class(*args)
    assert arrivals.make_class(*args) is made
    assert made.__qualname__ == "Outer.Made"
    assert arrivals.is_foreign_class(made)
    arrivals.set_class_state(made, ({"value": 1}, {}))
    assert made.value == 1  # type: ignore[attr-defined]


class AtHome:
    value = 1


def test_a_class_at_home_is_found_and_keeps_its_members() -> None:
    found = arrivals.make_class(
        "AtHome", type, "AtHome", (), {"__module__": __name__}, "another id", None
    )
    assert found is AtHome
    arrivals.set_class_state(found, ({"value": 2}, {}))
    assert AtHome.value == 1


def test_a_class_from_elsewhere_is_not_taken_for_one_at_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has been put into the module under its name, by whoever received it."""
    first = arrivals.make_class("Away", type, "Away", (), {"__module__": __name__}, "id 1", None)
    monkeypatch.setattr(sys.modules[__name__], "Away", first, raising=False)
    second = arrivals.make_class("Away", type, "Away", (), {"__module__": __name__}, "id 2", None)
    assert second is not first


def test_on_an_engine_no_class_is_at_home_by_its_name_alone() -> None:
    class Engine:
        def namespace(self) -> dict[str, Any]:
            return {}

        def bring(self, names: dict[str, Any]) -> None:
            raise NotImplementedError

        def hide(self, names: dict[str, Any]) -> None:
            raise NotImplementedError

    arrivals.set_namespace_provider(Engine())
    try:
        made = arrivals.make_class(
            "AtHome", type, "AtHome", (), {"__module__": __name__}, "id 3", None
        )
    finally:
        arrivals.set_namespace_provider(None)
    assert made is not AtHome
