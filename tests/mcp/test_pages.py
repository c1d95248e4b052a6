from __future__ import annotations

import pytest

from kernelfleet.mcp.pages import MAX_PAGE_CHARACTERS, NoSuchText, Page, Pages, page_of


def test_a_short_text_is_given_whole() -> None:
    assert Pages().first("short", limit=5) == "short"


def test_a_page_ends_at_a_line_end_if_there_is_one() -> None:
    assert page_of("ab\ncd\nef", 0, 7) == Page("ab\ncd\n", 6, 8)
    assert page_of("abcdefgh", 2, 3) == Page("cde", 5, 8)
    assert page_of("ab\n", 0, 100) == Page("ab\n", 3, 3)
    assert page_of("ab", 7, 10) == Page("", 2, 2)


@pytest.mark.parametrize(("offset", "limit"), [(-1, 5), (0, 0), (0, MAX_PAGE_CHARACTERS + 1)])
def test_a_wrong_page_is_refused(offset: int, limit: int) -> None:
    with pytest.raises(ValueError, match=r"offset is 0 or more|limit is from 1 to"):
        page_of("text", offset, limit)


def test_every_character_of_a_long_text_can_be_read() -> None:
    pages = Pages()
    text = "".join(f"line {i}\n" * (i % 3) + "x" * (i % 7) for i in range(200))
    shown = pages.first(text, limit=50)
    whole, end = "", 0
    while "[" in shown:
        part, _, rest = shown.rpartition("\n[")
        end = int(rest.partition("offset=")[2].partition(")")[0])
        whole += text[len(whole) : end]
        assert whole.endswith((part.removesuffix("\n"), part))
        shown = pages.read("text-1", end, 50)
    assert whole + shown == text


def test_the_oldest_texts_are_dropped_and_the_reader_is_told() -> None:
    pages = Pages(max_texts=2)
    for _ in range(3):
        pages.first("long text", limit=4)
    with pytest.raises(NoSuchText, match=r"no text 'text-1'.*kept are: text-2, text-3"):
        pages.read("text-1", 0)
    assert pages.read("text-3", 5) == "text"


def test_texts_together_are_bounded_but_the_newest_is_kept() -> None:
    pages = Pages(max_characters=10)
    pages.first("a" * 9, limit=1)
    pages.first("b" * 20, limit=1)
    with pytest.raises(NoSuchText):
        pages.read("text-1", 0)
    assert pages.read("text-2", 0) == "b" * 20
