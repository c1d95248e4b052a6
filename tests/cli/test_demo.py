from __future__ import annotations

import pytest

from kernelfleet.cli import demo
from kernelfleet.cli.demo import Session, evaluate, show_input, verdict


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


def test_functions_of_the_session_travel_by_value() -> None:
    session = Session(lambda _: None)
    session.enter(demo.COUNT_WORDS)
    assert session.namespace["count_words"].__module__ == "__main__"


def test_words_are_counted_alike_here_and_on_engines() -> None:
    session = Session(lambda _: None)
    session.enter(demo.COUNT_WORDS)
    session.namespace["files"] = [demo.__file__]
    assert evaluate("count_words(files)['Wigner']", session.namespace) >= 1


def test_spacings_repel_each_other_as_wigner_said() -> None:
    numpy = pytest.importorskip("numpy")
    session = Session(lambda _: None)
    session.enter(demo.SPACINGS)
    gaps = evaluate("spacings(40, seed=1)", session.namespace)
    assert len(gaps) == 40 * 49
    assert numpy.isclose(gaps.mean(), 1)
    assert (gaps < 0.1).mean() < 0.03  # independent levels would give 0.095


def test_the_verdict_promises_nothing() -> None:
    assert verdict(2.0, 3.0) == "# engines: 2.0 s, one process: 3.0 s (1.5 times)\n"
