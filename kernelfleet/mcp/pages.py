"""Long texts: the reader gets the beginning, and a way to read on.

Pure. What an agent is answered goes into its context window, so a cell that prints a million lines
must not be answered whole; but nothing of it may be lost either.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

#: An answer holds at most so many characters, unless the caller asks for fewer or more.
PAGE_CHARACTERS = 10_000
#: Longer pages than this are not given, whatever the caller asks for.
MAX_PAGE_CHARACTERS = 200_000
#: Texts that are kept for reading on, and how many characters they may have together.
MAX_TEXTS = 100
MAX_CHARACTERS = 64_000_000


@dataclass(frozen=True)
class Page:
    """A part of a text.

    Attributes:
        text: The part.
        end: Where it ends in the whole text.
        total: How many characters the whole text has.
    """

    text: str
    end: int
    total: int


class NoSuchText(LookupError):
    """A text was never kept, or has been dropped for newer ones."""


def page_of(text: str, offset: int, limit: int) -> Page:
    r"""The part of a text that begins at ``offset``; it ends at a line end if there is one.

    Args:
        text: The whole text.
        offset: The first character, from 0; one beyond the end gives an empty part.
        limit: How many characters the part has at most, from 1 to ``MAX_PAGE_CHARACTERS``.

    Raises:
        ValueError: The offset or the limit is not in its range.

    Example:
        >>> page_of("one\ntwo\nthree\n", 0, 10)
        Page(text='one\ntwo\n', end=8, total=14)
    """
    if offset < 0:
        raise ValueError(f"offset is 0 or more, not {offset}")
    if not 1 <= limit <= MAX_PAGE_CHARACTERS:
        raise ValueError(f"limit is from 1 to {MAX_PAGE_CHARACTERS} characters, not {limit}")
    end = min(len(text), offset + limit)
    if end < len(text):
        line_end = text.rfind("\n", offset, end) + 1
        end = line_end or end
    return Page(text[offset:end], end, len(text))


class Pages:
    r"""The long texts of recent answers, by an id such as ``text-3``. The oldest are dropped.

    Example:
        >>> pages = Pages()
        >>> print(pages.first("a line\n" * 10, limit=20))
        a line
        a line
        <BLANKLINE>
        [14 of 70 characters; the rest: read_text(text_id="text-1", offset=14)]
        >>> print(pages.read("text-1", 63))
        a line
        <BLANKLINE>
    """

    def __init__(self, max_texts: int = MAX_TEXTS, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_texts, self._max_characters = max_texts, max_characters
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._count = 0

    def first(self, text: str, limit: int = PAGE_CHARACTERS) -> str:
        """A text, or its first page and a line that says how to read on."""
        if len(text) <= limit:
            return text
        page_of(text, 0, limit)  # (refuses a wrong limit before the text is kept)
        self._count += 1
        text_id = f"text-{self._count}"
        self._texts[text_id] = text
        while len(self._texts) > 1 and self._is_full():
            self._texts.popitem(last=False)
        return self.read(text_id, 0, limit)

    def read(self, text_id: str, offset: int, limit: int = PAGE_CHARACTERS) -> str:
        """A page of a text, and a line that says how to read on, if there is more.

        Raises:
            NoSuchText: There is no such text, or no more.
            ValueError: The offset or the limit is not in its range.
        """
        if text_id not in self._texts:
            kept = ", ".join(self._texts) or "none"
            raise NoSuchText(f"there is no text {text_id!r}, or not any more; kept are: {kept}")
        page = page_of(self._texts[text_id], offset, limit)
        if page.end >= page.total:
            return page.text
        gap = "" if page.text.endswith("\n") else "\n"
        return (
            f"{page.text}{gap}\n[{page.end} of {page.total} characters; the rest: "
            f'read_text(text_id="{text_id}", offset={page.end})]'
        )

    def _is_full(self) -> bool:
        size = sum(map(len, self._texts.values()))
        return len(self._texts) > self._max_texts or size > self._max_characters
