"""HTML: static, escaped, and the plain text beside it unchanged."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from kernelfleet import CompositeError, ExecutionResult, MultiEngineClient, ResultList
from kernelfleet.display import html
from kernelfleet.display.layout import Picture

EVIL = "<script>alert('x')</script>\"'&"


def assert_static(text: str) -> None:
    assert "<script" not in text
    assert not re.search(r"\son\w+\s*=", text)


def result(engine_id: int, code: str, **options: object) -> ExecutionResult:
    return ExecutionResult(engine_id, 4, code, **options)  # type: ignore[arg-type]


def test_a_result_list_shows_input_and_output_once_where_they_are_the_same() -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "hi\n"}
    shown = ResultList(result(i, "print('hi')", stdout="hi\n", outputs=[output]) for i in (0, 1))
    text = shown._repr_html_()
    assert text.count("print(&#x27;hi&#x27;)") + text.count("print('hi')") == 1
    assert text.count("[0-1] hi") == 1
    assert repr(shown).startswith("<Results List>\n[0] In [4]: print('hi')\n[0] Out[4]: hi\n\n[1]")


def test_everything_from_engines_is_escaped() -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": EVIL},
        {"output_type": "execute_result", "data": {"text/plain": EVIL, "text/html": EVIL}},
    ]
    shown = ResultList([result(0, EVIL, stdout=EVIL, outputs=outputs, error=ValueError(EVIL))])
    assert_static(shown._repr_html_())
    assert_static(html.grid([Picture([0], "image/png", EVIL, EVIL, {"width": EVIL})]))
    assert_static(html.grid([Picture([0], "image/svg+xml", EVIL, EVIL, {})]))
    assert "alert" not in html.grid([Picture([0], "image/png", EVIL, "", {})])


def test_colours_become_spans_and_the_text_stays() -> None:
    text = html.ansi("\x1b[31mred\x1b[0m <plain> \x1b[1;32mbold green\x1b[39m")
    assert text == (
        "<span style='color:#c0392b'>red</span> &lt;plain&gt; "
        "<span style='font-weight:bold;color:#1e8449'>bold green</span>"
    )


def test_a_client_is_a_table_of_its_engines(mec: MultiEngineClient) -> None:
    text = mec._repr_html_()
    assert_static(text)
    assert "<b>4 engines</b>" in text
    assert text.count("<tr>") == 5
    assert "idle" in text
    assert "MiB" in text
    assert "CPU" in text


def test_a_closed_client_still_has_a_repr(connect: Callable[[], MultiEngineClient]) -> None:
    client = connect()
    client.close()
    assert "closed" in client._repr_html_()


def test_a_pending_result_says_how_far_it_is(mec: MultiEngineClient) -> None:
    pending = mec.execute("1", block=False)
    pending.wait(30)
    assert "execute</b> on engines <code>0-3</code>: done" in pending._repr_html_()
    failing = mec.execute("1/0", block=False)
    failing.wait(30)
    assert ": failed" in failing._repr_html_()


def test_an_error_is_its_traceback_escaped(mec: MultiEngineClient) -> None:
    with pytest.raises(CompositeError) as raised:
        mec.execute("raise ValueError('<b>bold</b>')")
    text = raised.value._repr_html_()
    assert_static(text)
    assert "&lt;b&gt;bold" in text
    assert "[0-3:execute]" in text
