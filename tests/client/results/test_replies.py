"""replies.py: a reply comes apart into its targets, and outputs are unpacked when looked at."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from kernelfleet.client.results import replies
from kernelfleet.client.results.outputs import OutputAggregator, fold
from kernelfleet.client.results.replies import Reply, printed, so_far
from kernelfleet.wire.outputs import to_pages

PAGES = to_pages("stream", b'{"name": "stdout", "text": "hi"}')


def reply() -> Reply:
    results = [
        {"id": 0, "buffers": 2, "outputs": 0},
        {"id": 1},
        {"id": 2, "buffers": 1, "outputs": len(PAGES)},
    ]
    return Reply({"results": results}, [b"a", b"b", b"c", *PAGES])


def test_each_target_has_its_data_and_its_outputs() -> None:
    parts = reply().parts()
    assert [part.result["id"] for part in parts] == [0, 1, 2]
    assert [part.frames for part in parts] == [[b"a", b"b"], [], [b"c"]]
    assert [part.outputs.stdout for part in parts] == ["", "", "hi"]
    assert Reply({"value": 3}, []).parts() == []


def test_outputs_are_unpacked_once_and_their_pages_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[Sequence[Any]] = []

    def noted(pages: Sequence[Any]) -> OutputAggregator:
        folded.append(pages)
        return fold(pages)

    monkeypatch.setattr(replies, "fold", noted)
    whole = reply()
    part = whole.parts()[2]
    assert folded == []
    assert whole.parts()[2] is part
    assert part.outputs is part.outputs
    assert len(folded) == 1
    assert (part._pages, whole.buffers) == ((), [])


def test_threads_that_look_at_the_same_time_see_the_same() -> None:
    for _ in range(50):
        whole = reply()
        seen: list[str] = []

        def look(whole: Reply = whole, seen: list[str] = seen) -> None:
            seen.append(whole.parts()[2].outputs.stdout)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == ["hi"] * 4


def test_what_is_there_so_far_is_told_by_engine_and_twice_for_one_named_twice() -> None:
    answer = Reply({"value": {"outputs": [[0, 1], [3, 0], [0, 1]]}}, [*PAGES, *PAGES])
    assert printed(so_far(answer), "stdout") == {0: "hihi", 3: ""}
    assert printed(so_far(answer), "stderr") == {0: "", 3: ""}
