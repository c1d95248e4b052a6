from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kernelfleet.cli.commands import demo
from kernelfleet.cli.commands.demo import (
    Session,
    as_many_as_take,
    evaluate,
    show_input,
    verdict,
)
from kernelfleet.controller.lifecycle.blas_threads import (
    thread_environment,
)


def test_input_is_shown_as_in_a_terminal() -> None:
    assert show_input("a = 1\nb = 2", 12) == "In [12]: a = 1\n    ...: b = 2"


def test_the_value_of_the_last_expression_is_the_result() -> None:
    namespace: dict[str, object] = {}
    assert evaluate("a = 2\na + 1", namespace) == 3
    assert evaluate("a + 1; b = 1", namespace) is None
    assert namespace["b"] == 1


def test_a_session_is_typed_out_as_it_runs() -> None:
    said: list[str] = []
    session = Session(said.append)
    session.enter("""
        a = 'one'
        a
    """)
    session.enter("class Two:\n    def __repr__(self): return '1\\n2\\n'\nTwo()")
    assert session.namespace["a"] == "one"
    assert said[:3] == ["In [1]: a = 'one'\n   ...: a", "Out[1]: 'one'", ""]
    assert said[4] == "Out[2]:\n1\n2"


def test_a_semicolon_keeps_a_value_to_itself() -> None:
    assert evaluate("1 + 1;", {}) is None
    assert evaluate("1 + 1;  # two", {}) is None
    assert evaluate("1 + 1  # two;", {}) == 2


def test_functions_of_the_session_travel_by_value() -> None:
    session = Session(lambda _: None)
    session.enter(demo.COUNT)
    assert session.namespace["count_syntax"].__module__ == "__main__"


def test_a_file_is_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("a = b + b\n")
    session = Session(lambda _: None)
    session.enter(demo.COUNT)
    session.namespace["file"] = str(tmp_path / "one.py")
    counted = evaluate("count_syntax(file)", session.namespace)
    assert (counted["Name"], counted["Add"]) == (3, 1)


def test_all_files_that_it_takes_can_be_parsed() -> None:
    session = Session(lambda _: None)
    session.enter(demo.FILES)
    files = session.namespace["files"]
    assert len(files) > 300
    for file in files[::20]:
        ast.parse(Path(file).read_bytes())


@pytest.mark.parametrize(
    ("seconds", "each", "count"), [(2.5, 0.01, 250), (2.5, 0.0001, 700), (0.0, 0.1, 1), (1, 0, 700)]
)
def test_there_is_as_much_work_as_takes_some_seconds(
    seconds: float, each: float, count: int
) -> None:
    assert as_many_as_take(seconds, each, at_most=700) == count


def test_spacings_repel_each_other_as_wigner_said() -> None:
    numpy = pytest.importorskip("numpy")
    session = Session(lambda _: None)
    session.enter(demo.SPACINGS)
    gaps = evaluate("spacings(40, seed=1)", session.namespace)
    assert len(gaps) == 40 * 49
    assert numpy.isclose(gaps.mean(), 1)
    assert (gaps < 0.1).mean() < 0.03  # independent levels would give 0.095


@pytest.mark.parametrize(
    ("n", "cores", "busy", "text"),
    [
        (2, 2, False, "2 engines: 2.00 s, one alone: 3.00 s; 1.5 times as fast, on 2 cores"),
        (4, 2, False, "... on 2 cores, of which 4 engines cannot make more"),
        (1, 1, False, "... on 1 core, where there is nothing to gain"),
        (2, 2, True, "... on 2 cores; but other programs are at work here"),
    ],
)
def test_the_verdict_says_what_could_be_expected(n: int, cores: int, busy: bool, text: str) -> None:
    said = verdict(2.0, 3.0, n, cores, busy=busy)
    assert said.endswith(text.removeprefix("...") + "\n")


def test_both_sides_have_the_same_threads() -> None:
    assert "env={'OMP_NUM_THREADS': '1'}" in demo.START.format(n=4)
    assert thread_environment(4, {"OMP_NUM_THREADS": "1"}) == {}  # nothing else is set
