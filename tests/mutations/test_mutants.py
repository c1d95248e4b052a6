"""mutants.py: each mutant is the module with one change, and what does nothing is left alone."""

from __future__ import annotations

import ast
import textwrap

from tests.mutations.__main__ import MODULES, PACKAGE, ROOT, _test_file
from tests.mutations.mutants import mutants


def changes(source: str) -> list[tuple[str, str]]:
    return [(each.before, each.after) for each in mutants(textwrap.dedent(source))]


def test_every_kind_of_change_is_made_once() -> None:
    assert changes("a = b < c") == [("b < c", "b <= c")]
    assert changes("a = b and c") == [("b and c", "b or c"), ("b and c", "c"), ("b and c", "b")]
    assert changes("a = not b") == [("not b", "b")]
    assert changes("a = b + c") == [("b + c", "b - c")]
    assert changes("a = 64 * 1024.0") == [("64 * 1024.0", "64 // 1024.0")]
    assert changes("a = 3, True") == [("3", "4"), ("True", "False")]
    assert changes("a = min(b)") == [("min(b)", "max(b)")]
    assert changes("a = b if c else d") == [("b if c else d", "b"), ("b if c else d", "d")]
    assert changes("f()") == [("f()", "pass")]
    assert changes("def f(): return a") == [("return a", "return None")]


def test_what_no_test_could_notice_is_left_alone() -> None:
    assert (
        changes(
            '''
            """A text."""
            import a

            def f(b: int | None) -> list[1]:
                """A text."""
                assert b < 3
                return None
            '''
        )
        == []
    )


def test_a_mutant_is_the_whole_module_and_the_module_itself_is_not_changed() -> None:
    source = "a = 1 < 2\nb = a\n"
    sources = [each.source for each in mutants(source)]
    assert sources == ["a = 1 <= 2\nb = a", "a = 2 < 2\nb = a", "a = 1 < 3\nb = a"]


def test_every_module_of_the_pass_has_its_test_file_and_mutants_that_compile() -> None:
    for module in MODULES:
        assert (ROOT / _test_file(module)).is_file()
    source = (PACKAGE / "client/targets.py").read_text("utf-8")
    made = [each.source for each in mutants(source)]
    assert len(made) > 20
    assert len(set(made)) == len(made)
    for each in made:
        ast.parse(each)
