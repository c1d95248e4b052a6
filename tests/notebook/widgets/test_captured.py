"""captured.py: an Output widget shows what a notebook would."""

from __future__ import annotations

import json
from typing import Any

from kernelfleet.notebook.widgets.captured import LEFT_OUT, Captured
from kernelfleet.wire.outputs import to_pages


def pages(*messages: tuple[str, Any]) -> list[Any]:
    return [page for kind, said in messages for page in to_pages(kind, json.dumps(said).encode())]


def stream(text: str) -> tuple[str, Any]:
    return "stream", {"name": "stdout", "text": text}


def texts(captured: Captured) -> list[str]:
    return [each["text"] for each in captured.outputs()]


def test_what_was_there_stays_and_what_comes_follows() -> None:
    captured = Captured([{"output_type": "stream", "name": "stdout", "text": "before"}])
    captured.add(pages(stream("a"), stream("b")))
    assert texts(captured) == ["before", "ab"]
    shown = {"data": {"text/plain": "x"}, "transient": {}}
    captured.add(pages(("display_data", shown)))
    assert captured.outputs()[-1]["metadata"] == {}


def test_clearing_clears_what_was_there_as_well() -> None:
    captured = Captured([{"output_type": "stream", "name": "stdout", "text": "before"}])
    captured.add(pages(("clear_output", {"wait": False})))
    assert captured.outputs() == []
    captured = Captured([{"output_type": "stream", "name": "stdout", "text": "before"}])
    captured.add(pages(("clear_output", {"wait": True})))
    assert texts(captured) == ["before"]
    captured.add(pages(stream("after")))
    assert texts(captured) == ["after"]


def test_what_cannot_be_read_is_left_out() -> None:
    captured = Captured()
    captured.add([*pages(stream("a")), b"nonsense"])
    captured.add(to_pages("stream", b"no JSON"))
    assert texts(captured) == ["a"]


def test_of_what_callbacks_say_the_latest_is_kept() -> None:
    captured = Captured(most_characters=1000)
    for i in range(10_000):
        captured.add_one(*stream(f"line {i}\n"))
    first, *rest = texts(captured)
    assert first == LEFT_OUT
    text = "".join(rest)
    assert text.endswith("line 9998\nline 9999\n")
    assert 1000 <= len(text) <= 2000
    captured.add_one("display_data", {"data": {"image/png": "x" * 5000}})
    captured.add_one(*stream("end"))
    assert captured.outputs()[-1]["text"] == "end"
    assert captured.characters < 10_000


def test_an_output_widget_keeps_all() -> None:
    captured = Captured()
    for i in range(1000):
        captured.add_one(*stream(f"line {i}\n"))
    assert texts(captured) == ["".join(f"line {i}\n" for i in range(1000))]
    captured.add_one("clear_output", {})
    assert captured.characters < 200
