"""A NameError says where the name is, if the engine has it; anything else is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.engine.running.hints import add_hint


def raised(source: str, variables: dict[str, Any]) -> BaseException:
    """What calling ``f`` raises, of a module with these variables."""
    exec(source, variables)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        variables["f"]()
    return caught.value


def notes(error: BaseException, namespace: dict[str, Any]) -> list[str]:
    add_hint(error, namespace)
    return list(getattr(error, "__notes__", []))


def test_a_name_of_the_engine_in_a_function_of_a_module() -> None:
    error = raised("def f(): return pushed", {"__name__": "am"})
    (note,) = notes(error, {"pushed": 1})
    assert "a function of the module 'am'" in note
    assert "mec.register_by_value('am')" in note
    assert notes(error, {"pushed": 1}) == [note]  # said once


def test_other_errors_are_left_alone() -> None:
    module = {"__name__": "am"}
    assert notes(raised("def f(): return pushed", dict(module)), {"other": 1}) == []
    assert notes(raised("def f(): return 1 / 0", dict(module)), {"pushed": 1}) == []
    assert notes(raised("def f():\n    x\n    x = 1", dict(module)), {"x": 1}) == []
    assert notes(NameError("by hand", name="pushed"), {"pushed": 1}) == []
    namespace: dict[str, Any] = {"__name__": "__main__"}
    error = raised("def f(): return pushed", namespace)
    assert notes(error, namespace) == []
    add_hint(None, {})
