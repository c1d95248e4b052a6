from __future__ import annotations

import re
from typing import Any

import pytest
import stack_data
import stack_data.utils
from pygments.formatters.terminal256 import Terminal256Formatter
from pygments.lexers.python import PythonLexer

from kernelfleet.engine.running.tracebacks import (
    _CACHES,
    KEPT_SOURCES,
    colour_with_one_lexer,
    render_plainly,
    users_frames,
    with_short_texts,
)
from kernelfleet.wire.objects.serialize import unpack
from tests.engine.driver import Engine


def test_frames_of_other_files_stay() -> None:
    with pytest.raises(ValueError, match="x") as caught:
        raise ValueError("x")
    assert users_frames(caught.tb) is caught.tb
    assert users_frames(None) is None


def test_plain_rendering_survives_a_hostile_error() -> None:
    class Hostile(Exception):
        @property
        def __notes__(self) -> list[str]:  # type: ignore[override]
            raise RuntimeError

        def __str__(self) -> str:
            raise RuntimeError

    assert any("Hostile" in line for line in render_plainly(Hostile()))


def test_code_is_coloured_as_stack_data_does_it_without_a_new_lexer_for_each_frame() -> None:
    upstream: Any = stack_data
    colour_with_one_lexer()
    formatter = Terminal256Formatter(
        style=upstream.style_with_executing_node("default", "bg:#ff0000")
    )
    code = "def f(a):\n    text = f'{a!r} größer'\n\n    return g(a)[0]  # why\n"
    marked: list[list[tuple[int, int]]] = [[], [(14, 18)], [(3, 9), (50, 54)]]
    expected = [upstream.utils._pygmented_with_ranges(formatter, code, each) for each in marked]
    known = set(PythonLexer.__subclasses__())
    coloured = [upstream.core._pygmented_with_ranges(formatter, code, each) for each in marked]
    assert coloured == expected
    assert all("\x1b[" in "".join(lines) for lines in coloured)
    assert set(PythonLexer.__subclasses__()) <= known


def test_groups_are_rendered_with_their_members() -> None:
    group = ExceptionGroup("several", [ValueError("one"), KeyError("two")])
    text = "\n".join(render_plainly(group))
    assert "one" in text
    assert "two" in text


def kept_sources() -> dict[str, int]:
    """On an engine: the sizes of the caches under IPython's renderer."""
    from stack_data.core import Source

    caches = {name: vars(Source).get(name) for name in _CACHES}
    return {name: len(cache) for name, cache in caches.items() if cache is not None}


def test_errors_of_functions_that_travel_leave_nothing_for_each(engine: Engine) -> None:
    def fail() -> float:
        return 1 / 0

    for _ in range(2 * KEPT_SOURCES):
        assert engine.ask_apply(fail)["content"]["ename"] == "ZeroDivisionError"
    sizes = engine.apply(kept_sources)
    assert set(sizes) == set(_CACHES)  # as executing 2.3 names them
    assert max(sizes.values()) <= KEPT_SOURCES


def test_each_exception_of_a_chain_is_shown_where_it_was_raised(engine: Engine) -> None:
    code = """\
try:
    {}["a"]
except KeyError as cause:
    raise ValueError("bad") from cause
"""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(engine.execute(code)["traceback"]))
    assert [line[6:] for line in lines.splitlines() if line.startswith("---->")] == [
        '2     {}["a"]',
        '4     raise ValueError("bad") from cause',
    ]


def test_an_error_of_megabytes_is_shown_shortened_and_is_whole_all_the_same(engine: Engine) -> None:
    code = "try:\n    raise KeyError('y' * 3_000_000)\nexcept KeyError:\n    1 / 0"
    chained = engine.execute(code)
    assert sum(map(len, chained["traceback"])) < 200_000
    assert "more characters]" in "".join(chained["traceback"])
    assert "ZeroDivisionError" in chained["traceback"][-1]
    done = engine.execute("raise ValueError('line\\n' * 1_000_000)")
    assert (done["ename"], done["evalue"][:5]) == ("ValueError", "line\n")
    assert len(done["evalue"]) < 101_000
    assert "[4,900,000 more characters]" in done["evalue"]
    (shown,) = (each["content"] for each in done["messages"] if each["msg_type"] == "error")
    assert len(shown["evalue"]) + sum(map(len, shown["traceback"])) < 400_000
    assert len(str(unpack(done["buffers"]))) == 5_000_000


@pytest.mark.parametrize("text", ["short", "x" * 1_000_000])
def test_who_stands_in_for_an_error_looks_like_it(text: str) -> None:
    first, second = KeyError(text), ValueError("b")
    second.__cause__ = first
    second.__context__ = first
    first.__context__ = second  # a ring, which Python allows
    second.add_note("noted")
    shown = with_short_texts(second)
    if text == "short":
        assert shown is second
        return
    assert (type(shown).__name__, str(shown), shown.__notes__) == ("ValueError", "b", ["noted"])
    assert type(shown.__cause__).__name__ == "KeyError"
    assert str(shown.__cause__).endswith("more characters]")
    assert shown.__cause__ is not None
    assert shown.__cause__.__context__ is None  # or it would be shown for ever
    assert shown.__suppress_context__
