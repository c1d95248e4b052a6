"""Code is of one minor version of Python, and says of which."""

from __future__ import annotations

import json
import pickle
import re
import sys
from pathlib import PurePosixPath
from typing import Any

import pytest

from kernelfleet.errors import SerializationError, UnsupportedOperation
from kernelfleet.wire.objects import pythons
from kernelfleet.wire.objects.serialize import (
    pack,
    pack_namespace,
    pack_nested,
    unpack,
)

OTHERS = {"engine 2": "3.99.1"}


class Empty(Exception):
    pass


def in_main(source: str) -> dict[str, Any]:
    """What a notebook defines: it travels by value."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace


NOTEBOOK = in_main("def double(x): return 2 * x\nclass Held:\n    def method(self): return 1\n")
double, Held = NOTEBOOK["double"], NOTEBOOK["Held"]


@pytest.mark.parametrize(
    ("version", "word"),
    [("3.11.7", "3.11"), ("3.13.0rc1", "3.13"), ("PyPy 3.11.9", "PyPy 3.11"), ("3.14", "3.14")],
)
def test_what_must_agree_is_the_minor_version(version: str, word: str) -> None:
    assert pythons.series(version) == word


def test_this_python_is_no_other() -> None:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert pythons.series(pythons.VERSION) == here
    assert not pythons.differs(f"{here}.99")
    assert not pythons.differs(None)
    assert pythons.differs("3.99.0")
    assert pythons.differs(f"PyPy {here}.1")
    assert pythons.asker("3.99.0") == {"the client": "3.99.0"}
    assert pythons.asker(f"{here}.99") == pythons.asker(None) == {}


@pytest.mark.parametrize(
    "value",
    [double, [double], Held(), Held, double.__code__, {"k": in_main("f = lambda: 1")["f"]}],
    ids=["function", "in a list", "instance", "class", "code", "lambda"],
)  # fmt: skip
def test_what_holds_code_is_refused_where_another_python_is_known(value: Any) -> None:
    for way in (pack, pack_nested):
        with pytest.raises(UnsupportedOperation, match=r"engine 2\).*same Python"):
            way(value, other_pythons=OTHERS)
    with pytest.raises(UnsupportedOperation):
        pack_namespace({"a": 1, "v": value}, other_pythons=OTHERS)


def test_what_holds_no_code_travels_to_every_python() -> None:
    for value in (1, [b"x"], Empty("e"), Empty, in_main, pow, pickle.dumps, sys.version_info[:2]):
        assert repr(unpack(pack(value, other_pythons=OTHERS))) == repr(value)


def test_a_class_of_the_standard_library_travels_by_the_name_that_every_python_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = type("Moved", (), {"__module__": "json._somewhere"})
    monkeypatch.setattr(json, "Moved", moved, raising=False)
    value = moved()
    value.x = 5
    frames = pack([value, PurePosixPath("a/b")], other_pythons=OTHERS)
    assert isinstance(frames[0], bytes)
    assert not re.search(rb"json\._|pathlib\._", frames[0])
    there, path = unpack(frames)
    assert (type(there), there.x, path) == (moved, 5, PurePosixPath("a/b"))
    hidden = type("Hidden", (), {"__module__": "json._somewhere"})
    assert pythons.by_public_name(hidden) is None
    assert pythons.by_public_name(Held) is pythons.by_public_name(dict) is None


def test_the_error_names_both_versions_who_has_the_other_and_the_function() -> None:
    many = {f"engine {i}": "3.99.1" for i in range(20)}
    with pytest.raises(UnsupportedOperation) as caught:
        pack(double, other_pythons=many)
    here = pythons.series(pythons.VERSION)
    told = f"the function 'double' cannot go from Python {here} to Python 3.99 (engine 0, engine 1"
    assert str(caught.value).startswith(told)
    assert ", ...)" in str(caught.value)


@pytest.mark.parametrize("made_by", ["3.99", "PyPy 3.11"])
def test_code_of_another_python_is_refused_where_it_arrives(
    made_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pythons, "VERSION", f"{made_by}.1")
    frames = {name: pack(value) for name, value in {"f": double, "c": Held, "i": Held()}.items()}
    error = pack(SerializationError("x", name="n"))
    monkeypatch.undo()
    for each in frames.values():
        with pytest.raises(UnsupportedOperation, match=f"of Python {made_by} cannot run here"):
            unpack(each)
    assert unpack(error).name == "n"


def test_an_attribute_with_code_of_another_python_does_not_keep_an_error_from_arriving() -> None:
    error = Empty("e")
    error.callback = double  # type: ignore[attr-defined]
    other = unpack(pack(error, other_pythons=OTHERS))
    assert str(other) == "e"
    assert other.__notes__ == ["left behind, as it cannot be pickled: 'callback'"]
