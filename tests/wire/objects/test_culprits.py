"""What cannot travel is named by what it hangs on, as its user would say it."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from typing import Any

import pytest

from kernelfleet.errors import SerializationError
from kernelfleet.wire.objects.culprits import pieces_of_call
from kernelfleet.wire.objects.serialize import pack, pack_namespace
from tests.wire.objects.ghosts import Ghosts

LOCK = threading.Lock()
WHY = "TypeError: cannot pickle '_thread.lock' object"


class Holder:
    def __init__(self, held: object) -> None:
        self.fine, self.held = 1, held

    def method(self) -> None:
        """Bound to what it holds."""


def in_main(source: str, **names: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, namespace)
    return namespace


def refusal(obj: object, **options: Any) -> str:
    with pytest.raises(SerializationError) as caught:
        pack(obj, **options)
    assert isinstance(caught.value.__cause__, TypeError)
    return str(caught.value)


def closure() -> Any:
    lock = LOCK
    return lambda: lock


@pytest.mark.parametrize(
    ("obj", "where"),
    [
        (LOCK, "'lock' object"),
        ([1, LOCK], "item 1"),
        ({"a": [1, {"b": LOCK}]}, "item 'b' of item 1 of item 'a'"),
        (Holder(LOCK), "the attribute 'held'"),
        ([Holder({"k": LOCK})], "item 'k' of the attribute 'held' of item 0"),
        (Holder(LOCK).method, "the attribute 'held' of the object"),
        (functools.partial(max, LOCK), "argument 0"),
        (functools.partial(max, key=LOCK), "argument 'key'"),
        (closure(), "the variable 'lock'"),
        (in_main("def f(): return lock", lock=LOCK)["f"], "the global 'lock'"),
        (in_main("def f(x=lock): return x", lock=LOCK)["f"], "default 0"),
        (in_main("def f(*, x=lock): return x", lock=LOCK)["f"], "the attribute 'x'"),
        (
            in_main("def g(): return lock\ndef f(): return g()", lock=LOCK)["f"],
            "the global 'lock' of the function 'g'",
        ),
        (in_main("class C:\n    held = lock", lock=LOCK)["C"], "the member 'held'"),
        (
            in_main("class C:\n    def m(self): return lock\nc = C()", lock=LOCK)["c"],
            "the global 'lock' of the member 'm' of the class 'C'",
        ),
    ],
)
def test_the_piece_that_cannot_travel_is_named(obj: object, where: str) -> None:
    assert refusal(obj) == f"cannot pickle {where}: {WHY}"


def test_a_call_is_named_in_its_callers_words() -> None:
    def of(function: Any, *args: Any, **kwargs: Any) -> str:
        call = (function, args, kwargs)
        text = refusal(call, pieces=lambda: pieces_of_call(*call))
        return text.removeprefix("cannot pickle ").removesuffix(f": {WHY}")

    work = in_main("def work(x): return lock", lock=LOCK)["work"]
    assert of(max, 1, LOCK) == "argument 1"
    assert of(max, key=Holder(LOCK)) == "the attribute 'held' of argument 'key'"
    assert of(work, 1) == "the global 'lock' of the function 'work'"


def test_a_variable_keeps_its_name() -> None:
    with pytest.raises(SerializationError) as caught:
        pack_namespace({"a": 1, "b": {"k": LOCK}})
    assert str(caught.value) == f"'b': cannot pickle item 'k': {WHY}"
    assert caught.value.name == "b"


def test_large_buffers_are_not_copied_to_find_out() -> None:
    np = pytest.importorskip("numpy")
    assert refusal([np.zeros(10_000_000), LOCK]).startswith("cannot pickle item 1: ")


def test_what_contains_itself_comes_to_an_end() -> None:
    endless: list[Any] = [LOCK]
    endless.insert(0, endless)
    assert refusal(endless) == f"cannot pickle item 1: {WHY}"


def test_an_object_whose_pieces_cannot_be_looked_at_is_named_itself() -> None:
    class Broken:
        def __reduce_ex__(self, protocol: object) -> Any:
            raise TypeError("never")

    assert refusal([Broken()]) == "cannot pickle item 0: TypeError: never"


def test_a_module_that_no_engine_can_import_is_tried_by_value_and_both_reasons_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = "import threading\nLOCK = threading.Lock()\ndef locked(): return LOCK\n"
    ghosts = Ghosts(code + "def plain(): return 5\n")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, ghosts])
    ghost: Any = importlib.import_module("kf_ghost")
    try:
        assert pack(ghost.plain)
        call: Any = (ghost.locked, (), {})
        text = refusal(call, pieces=lambda: pieces_of_call(*call))
        assert text == (
            f"cannot pickle the global 'LOCK' of the function 'locked': {WHY}; it goes by value, "
            "as engines cannot import its module 'kf_ghost': "
            "only this process has its loader, Ghosts"
        )
    finally:
        del sys.modules["kf_ghost"]
