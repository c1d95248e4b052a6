"""The live lines of one engine: returns, ends of lines, clearing, displays that change."""

from __future__ import annotations

import pytest

from kernelfleet.display.transcript import KEPT_LINES, Transcript, fold_returns


def texts(transcript: Transcript) -> list[str]:
    return [line.text for line in transcript.tail(1000)]


def printed(*pieces: str, name: str = "stdout") -> Transcript:
    transcript = Transcript(collect=True)
    for piece in pieces:
        transcript.add("stream", {"name": name, "text": piece})
    return transcript


def test_pieces_of_a_line_become_one_line() -> None:
    assert texts(printed("a", "b\nc", "d\n")) == ["ab", "cd"]


def test_a_progress_bar_is_one_line_whatever_its_number_of_updates() -> None:
    bar = printed(*(f"\r{percent:3}%|" for percent in range(101)), name="stderr")
    assert texts(bar) == ["100%|"]


def test_a_shorter_text_after_a_return_leaves_the_rest_standing_as_a_terminal_does() -> None:
    assert texts(printed("abcdef\rxy")) == ["xycdef"]


def test_stdout_and_stderr_have_lines_of_their_own() -> None:
    transcript = Transcript()
    transcript.add("stream", {"name": "stdout", "text": "out"})
    transcript.add("stream", {"name": "stderr", "text": "err"})
    transcript.add("stream", {"name": "stdout", "text": "put\n"})
    assert [(line.stream, line.text) for line in transcript.tail(9)] == [
        ("stdout", "output"),
        ("stderr", "err"),
    ]


def test_only_the_last_lines_are_kept_and_all_are_counted() -> None:
    transcript = Transcript()
    transcript.add("stream", {"text": "".join(f"{i}\n" for i in range(100_000))})
    assert transcript.total == 100_000
    assert texts(transcript) == [str(i) for i in range(100_000 - KEPT_LINES, 100_000)]
    assert transcript.take_finished() == []


def test_complete_lines_are_taken_once_and_all_of_them() -> None:
    transcript = printed("".join(f"{i}\n" for i in range(1000)), "rest")
    assert [line.text for line in transcript.take_finished()] == [str(i) for i in range(1000)]
    assert transcript.take_finished() == []
    assert [line.text for line in transcript.take_open()] == ["rest"]


def test_whoever_clears_its_output_has_no_line_for_good_before_the_end() -> None:
    transcript = Transcript(collect=True)
    for frame in range(3):
        transcript.add("clear_output", {"wait": True})
        transcript.add("stream", {"name": "stdout", "text": f"frame {frame}\nof 3\n"})
        assert transcript.take_finished() == []
    assert [line.text for line in transcript.tail(9)] == ["frame 2", "of 3"]
    assert [line.text for line in transcript.take_finished(last=True)] == ["frame 2", "of 3"]
    assert transcript.total == 2


def test_a_value_is_told_from_what_was_printed() -> None:
    transcript = Transcript()
    transcript.add("stream", {"name": "stdout", "text": "5\n"})
    transcript.add("execute_result", {"data": {"text/plain": "5"}, "execution_count": 2})
    transcript.add("display_data", {"data": {"text/plain": "5"}})
    shown = [(line.stream, line.text, line.number) for line in transcript.tail(9)]
    assert shown == [("stdout", "5", None), ("value", "5", 2), ("display", "5", None)]


def test_clear_output_clears_at_once_or_with_the_next_output() -> None:
    transcript = printed("a\n")
    transcript.add("clear_output", {"wait": True})
    assert texts(transcript) == ["a"]
    transcript.add("stream", {"text": "b\n"})
    assert texts(transcript) == ["b"]
    transcript.add("clear_output", {"wait": False})
    assert texts(transcript) == []


def test_an_updated_display_changes_where_it_stands() -> None:
    transcript = Transcript()
    show = {"data": {"text/plain": "one"}, "transient": {"display_id": "d"}}
    transcript.add("display_data", show)
    transcript.add("stream", {"text": "below\n"})
    transcript.add("update_display_data", {**show, "data": {"text/plain": "two"}})
    assert texts(transcript) == ["two", "below"]


@pytest.mark.parametrize(
    ("text", "folded"),
    [("plain\n", "plain\n"), ("1\r2\r3\nx\n", "3\nx\n"), ("a\r\nb", "a\nb"), ("abc\rx", "xbc")],
)
def test_carriage_returns_of_a_finished_text_are_obeyed(text: str, folded: str) -> None:
    assert fold_returns(text) == folded
