"""captured.py: an Output widget shows what a notebook would."""

from __future__ import annotations

import json
from typing import Any

from kernelfleet.notebook.widgets.captured import Captured
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
