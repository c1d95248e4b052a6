"""outputs.py: messages of one request fold into outputs of a notebook."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.client.results.outputs import OutputAggregator, fold
from kernelfleet.wire.outputs import to_pages


def stream(text: str, name: str = "stdout") -> tuple[str, dict[str, Any]]:
    return "stream", {"name": name, "text": text}


def display(
    text: str, display_id: str | None = None, msg_type: str = "display_data"
) -> tuple[str, dict[str, Any]]:
    content: dict[str, Any] = {"data": {"text/plain": text}, "metadata": {}, "transient": {}}
    if display_id is not None:
        content["transient"] = {"display_id": display_id}
    return msg_type, content


def clear(wait: bool = False) -> tuple[str, dict[str, Any]]:
    return "clear_output", {"wait": wait}


def folded(*messages: tuple[str, dict[str, Any]]) -> OutputAggregator:
    folder = OutputAggregator()
    for message in messages:
        folder.add(*message)
    return folder


def texts(folder: OutputAggregator) -> list[str]:
    return [each.get("text") or each["data"]["text/plain"] for each in folder.outputs()]


def test_nothing_folds_to_nothing() -> None:
    folder = OutputAggregator()
    assert folder.outputs() == []
    assert (folder.stdout, folder.stderr) == ("", "")
    assert folder.is_empty


def test_what_was_printed_or_shown_is_not_empty_also_when_it_was_cleared() -> None:
    assert not folded(stream("a")).is_empty
    assert not folded(stream("a"), clear()).is_empty
    assert not folded(display("a")).is_empty


def test_neighbouring_streams_of_one_name_are_one_output() -> None:
    folder = folded(stream("a"), stream("b"), stream("x", "stderr"), stream("c"), stream("d"))
    assert folder.outputs() == [
        {"output_type": "stream", "name": "stdout", "text": "ab"},
        {"output_type": "stream", "name": "stderr", "text": "x"},
        {"output_type": "stream", "name": "stdout", "text": "cd"},
    ]
    assert folder.stdout == "abcd"
    assert folder.stderr == "x"


def test_every_kind_of_output_has_the_form_of_a_notebook_file() -> None:
    result = ("execute_result", {"data": {"a/b": 1}, "metadata": {"m": 2}, "execution_count": 7})
    error = ("error", {"ename": "E", "evalue": "v", "traceback": ["1", "2"], "extra": 1})
    folder = folded(display("x"), result, error)
    assert folder.outputs() == [
        {"output_type": "display_data", "data": {"text/plain": "x"}, "metadata": {}},
        {
            "output_type": "execute_result",
            "data": {"a/b": 1},
            "metadata": {"m": 2},
            "execution_count": 7,
        },
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["1", "2"]},
    ]


@pytest.mark.parametrize("msg_type", ["status", "execute_input", "comm_open", "of tomorrow"])
def test_messages_that_are_no_output_are_ignored(msg_type: str) -> None:
    assert folded((msg_type, {"text": "x"})).outputs() == []


@pytest.mark.parametrize(
    "msg_type", ["stream", "display_data", "execute_result", "update_display_data", "error"]
)
def test_a_message_without_contents_disturbs_nothing(msg_type: str) -> None:
    folder = folded((msg_type, {}), stream("x"))
    assert folder.stdout == "x"


def test_clear_output_clears_what_is_shown_and_not_what_was_printed() -> None:
    folder = folded(stream("a"), display("x"), stream("e", "stderr"), clear(), stream("b"))
    assert texts(folder) == ["b"]
    assert folder.stdout == "ab"
    assert folder.stderr == "e"


def test_a_waiting_clear_happens_with_the_next_output() -> None:
    folder = folded(stream("a"), clear(wait=True))
    assert texts(folder) == ["a"]
    folder.add(*stream("b"))
    folder.add(*stream("c"))
    assert texts(folder) == ["bc"]


@pytest.mark.parametrize(
    "message", [display("n"), display("n", msg_type="execute_result"), stream("n", "stderr")]
)
def test_a_waiting_clear_happens_with_any_kind_of_output(
    message: tuple[str, dict[str, Any]],
) -> None:
    assert texts(folded(display("a", "id"), clear(wait=True), message)) == ["n"]


def test_an_update_is_no_output_that_a_waiting_clear_waits_for() -> None:
    updated = display("b", "id", "update_display_data")
    assert texts(folded(display("a", "id"), clear(wait=True), updated)) == ["b"]


def test_streams_before_and_after_a_clear_do_not_merge() -> None:
    folder = folded(stream("a"), clear(), stream("b"), clear(), stream("c"))
    assert texts(folder) == ["c"]
    assert folder.stdout == "abc"


def test_an_updated_display_changes_where_it_stands() -> None:
    folder = folded(display("a", "id"), stream("s"), display("b", "id", "update_display_data"))
    assert texts(folder) == ["b", "s"]


def test_a_second_display_with_the_same_id_updates_the_first() -> None:
    assert texts(folded(display("a", "id"), display("b", "id"))) == ["b", "b"]


def test_a_cleared_display_is_updated_no_more() -> None:
    folder = folded(display("a", "id"), clear(), display("b", "id", "update_display_data"))
    assert folder.outputs() == []
    folder.add(*display("c", "id"))
    assert texts(folder) == ["c"]


def test_outputs_that_were_handed_out_do_not_change_later() -> None:
    folder = folded(display("a", "id"), stream("x"))
    before = folder.outputs()
    folder.add(*stream("y"))
    folder.add(*display("b", "id", "update_display_data"))
    assert [each.get("text") for each in before] == [None, "x"]
    assert before[0]["data"] == {"text/plain": "a"}


def test_a_hundred_thousand_small_messages_are_joined_once() -> None:
    folder = folded(*[stream("x\n")] * 100_000)
    pieces = folder._texts["stdout"]._pieces
    assert len(pieces) == 100_000  # nothing was joined while they came
    assert folder.outputs() == [
        {"output_type": "stream", "name": "stdout", "text": "x\n" * 100_000}
    ]
    assert folder._texts["stdout"]._pieces == [folder.stdout]


STEPS = st.lists(
    st.one_of(
        st.builds(stream, st.text(max_size=3), st.sampled_from(["stdout", "stderr"])),
        st.builds(display, st.text(max_size=3), st.sampled_from([None, "a", "b"])),
        st.builds(clear, st.booleans()),
        st.builds(
            display,
            st.text(max_size=3),
            st.sampled_from(["a", "b"]),
            st.just("update_display_data"),
        ),
    )
)


@given(STEPS)
def test_whatever_comes_text_is_complete_and_streams_are_merged(
    steps: list[tuple[str, dict[str, Any]]],
) -> None:
    folder = OutputAggregator()
    for index, step in enumerate(steps):
        folder.add(*step)
        if index % 3 == 0:
            folder.outputs()  # looking in between changes nothing
    for name in ("stdout", "stderr"):
        printed = "".join(c["text"] for kind, c in steps if kind == "stream" and c["name"] == name)
        assert folder.text(name) == printed
    names = [each.get("name") for each in folder.outputs()]
    assert all(a != b or a is None for a, b in pairwise(names))


def pages(*messages: tuple[str, Any]) -> list[Any]:
    packed = [
        (kind, each if isinstance(each, bytes) else json.dumps(each).encode())
        for kind, each in messages
    ]
    return [page for kind, content in packed for page in to_pages(kind, content)]


def test_what_was_carried_is_unpacked_and_folded() -> None:
    folder = fold(pages(stream("a"), display("x" * 200_000), stream("b")))
    assert texts(folder) == ["a", "x" * 200_000, "b"]
    assert fold([]).outputs() == []


@pytest.mark.parametrize(
    ("msg_type", "content"),
    [
        ("stream", b"[1"),
        ("display_data", b"[]"),
        ("display_data", b'{"data": 3}'),
        ("execute_result", b'{"transient": ["a"]}'),
        ("error", b'{"traceback": 3}'),
        ("display_data", b'{"data": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}"),
        ("display_data", b'{"data": ' + b"[" * 100_000),
    ],
    ids=lambda each: repr(each)[:30],
)
def test_what_a_broken_kernel_has_published_is_left_out_and_nothing_else(
    msg_type: str, content: bytes
) -> None:
    folder = fold(pages(stream("a"), (msg_type, content), display("x")))
    assert texts(folder) == ["a", "x"]


def test_what_came_before_a_broken_page_is_good() -> None:
    assert texts(fold([*pages(stream("a")), b"nonsense", *pages(stream("b"))])) == ["a"]


def test_a_message_without_text_clears_what_is_to_be_cleared_and_shows_nothing() -> None:
    folder = folded(display("a"), clear(wait=True), stream(""))
    assert folder.outputs() == []
    assert folded(stream("a"), stream("", "stderr"), stream("b")).outputs() == [
        {"output_type": "stream", "name": "stdout", "text": "ab"}
    ]


def test_displays_of_one_id_are_each_their_own() -> None:
    folder = folded(display("a", "1"), display("a", "1"), display("b", "1", "update_display_data"))
    first, second = folder.outputs()
    assert first == second
    first["data"]["text/plain"] = "mine"
    first["metadata"]["mine"] = True
    assert second["data"] == {"text/plain": "b"}
    assert second["metadata"] == {}


def test_the_content_of_a_message_stays_as_it_came() -> None:
    kind, content = display("a", "1")
    folder = folded((kind, content), display("b", "1", "update_display_data"))
    assert content["data"] == {"text/plain": "a"}
    folder.outputs()[0]["data"]["mine"] = True
    assert content["data"] == {"text/plain": "a"}
