"""Which promises the tests hold, and that no verb is without one."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from kernelfleet import MultiEngineClient, PendingResult
from tests.promises import SECTIONS

TESTS = Path(__file__).resolve().parent.parent

#: Public names that are no verbs of the interface, and verbs whose promises are held elsewhere.
ELSEWHERE = {
    "stop_fleet": "tests/cli",
    "pool": "tests/client/executor/test_pool.py",
    "timeline": "tests/client/results/test_timelines.py",
    "activate": "not held yet",
}

#: Sections of which nothing is held here yet.
OPEN_SECTIONS = {8, 9}


def promises() -> Iterator[tuple[str, str]]:
    """Test and promise of every decorated test."""
    for folder in ("conformance", "journeys"):
        for path in sorted((TESTS / folder).glob("test_*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef):
                    for text in _promises_of(node):
                        yield f"{path.name}::{node.name}", text


def _promises_of(node: ast.FunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "promise":
            (argument,) = decorator.args
            assert isinstance(argument, ast.Constant)
            yield str(argument.value)


def test_every_promise_names_its_section_and_is_held_once() -> None:
    held = [text for _, text in promises()]
    wrong = [text for text in held if not re.fullmatch(r"[1-9]: \S.*[^.]", text)]
    assert not wrong
    assert [text for text, count in Counter(held).items() if count > 1] == []


def test_every_section_is_held_or_listed_as_open() -> None:
    held = Counter(int(text[0]) for _, text in promises())
    for section, title in SECTIONS.items():
        print(f"{section} {title}: {held[section]} promises")
    assert {section for section in SECTIONS if not held[section]} <= OPEN_SECTIONS


def test_every_conformance_test_holds_a_promise() -> None:
    holding = {test for test, _ in promises()}
    for path in sorted((TESTS / "conformance").glob("test_[1-9]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert f"{path.name}::{node.name}" in holding


def test_every_verb_has_a_promise() -> None:
    texts = " ".join(text for _, text in promises())
    verbs = {name for name in dir(MultiEngineClient) if not name.startswith("_")}
    missing = {verb for verb in verbs - set(ELSEWHERE) if not re.search(rf"\b{verb}\b", texts)}
    assert missing == set()
    tested = "".join(path.read_text() for path in (TESTS / "conformance").glob("test_[1-9]*.py"))
    assert [verb for verb in verbs - set(ELSEWHERE) if f".{verb}" not in tested] == []


#: What section 4 names.
OF_A_PENDING_RESULT = [
    "get_result", "r", "add_callback", "result", "exception", "done", "running", "cancel",
    "cancelled", "add_done_callback", "wait", "result_id", "progress", "stdout",
]  # fmt: skip


def test_every_method_of_a_pending_result_is_used() -> None:
    tested = "".join(path.read_text() for path in (TESTS / "conformance").glob("test_4*.py"))
    for name in OF_A_PENDING_RESULT:
        assert hasattr(PendingResult, name)
        assert f".{name}" in tested
