"""Only what IPython would not change is not looked through for magics."""

# mypy: allow-untyped-calls
# IPython's methods are untyped

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from kernelfleet.engine.running.transformation import is_plain, pass_over_plain_code

PIECES = [
    *"a5#:()[]{}'\"\\@$`~", *"%!?,;/", *" \n\t\r\v\f\0\x1d\x85\xa0\u2028\u3000é",
    " = ", "==", "!=", "%=", "//", '"""', "'''", "\\\n", "\n\n", "    ", "if a:\n  ", "lambda:",
    "%%time", "%ls", "!ls", "a = ", "f'{a!r}'", "x?", "??", "/f 1", ",f a", ";f a",
    "In [1]: ", "[nav] In [2]: ", "...", "...: ", ">>> ", ">>>",
]  # fmt: skip
codes = st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join)


@settings(max_examples=500, deadline=None)
@given(codes)
@example('a = """\n   \n"""')
@example("In [1]: x")
@example("x = 5\n...\n")
@example("a = \\\n%ls")
def test_ipython_changes_nothing_of_what_counts_as_plain(code: str) -> None:
    if not is_plain(code):
        return
    try:
        transformed = TransformerManager().transform_cell(code)
    except IndentationError:
        # Inconsistent indentation: Python says the same when it compiles the code.
        with pytest.raises(SyntaxError):
            compile(code, "cell", "exec")
        return
    assert transformed == (code if code.endswith("\n") else code + "\n")


@pytest.mark.parametrize(
    "code",
    [
        "a = 5",
        "import os\n\nfor a in range(5):\n    print(a % 2, a != 3)  # why not? so\n",
        "def f(a, /, *, b='%d!'):\n    return f'{a!r} ?', b % 5\n",
        "x = '''\n\n  indented\n'''",
        "text = 'größer'",
    ],
)
def test_usual_python_is_plain(code: str) -> None:
    assert is_plain(code)


def counted(manager: TransformerManager) -> tuple[TransformerManager, list[str]]:
    """A manager that passes over plain code, and the cells that it has looked through."""
    looked_through: list[str] = []
    transform = manager.transform_cell

    def counting(cell: str) -> str:
        looked_through.append(cell)
        transformed: str = transform(cell)
        return transformed

    vars(manager)["transform_cell"] = counting
    pass_over_plain_code(SimpleNamespace(input_transformer_manager=manager))
    return manager, looked_through


def test_plain_code_is_passed_over_and_magics_are_not() -> None:
    manager, looked_through = counted(TransformerManager())
    assert manager.transform_cell("a = 5") == "a = 5\n"
    assert manager.transform_cell("a = 5\n") == "a = 5\n"
    assert looked_through == []
    assert manager.transform_cell("%ls") == "get_ipython().run_line_magic('ls', '')\n"
    assert looked_through == ["%ls"]


@pytest.mark.parametrize("kind", ["cleanup_transforms", "line_transforms"])
def test_a_transformation_of_the_users_gets_plain_code_too(kind: str) -> None:
    manager, _ = counted(TransformerManager())

    def transformation(lines: list[str]) -> list[str]:
        return [line.replace("a", "b") for line in lines]

    getattr(manager, kind).append(transformation)
    assert manager.transform_cell("a = 5") == "b = 5\n"
    getattr(manager, kind).remove(transformation)
    assert manager.transform_cell("a = 5") == "a = 5\n"


def test_a_transformation_of_tokens_gets_plain_code_too() -> None:
    class Never:
        asked = 0

        @classmethod
        def find(cls, tokens_by_line: Any) -> None:
            del tokens_by_line
            cls.asked += 1

    manager, _ = counted(TransformerManager())
    manager.token_transformers.append(Never)
    assert manager.transform_cell("a = 5") == "a = 5\n"
    assert Never.asked == 1
