"""The documents name tests; those exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: `tests/wire/test_codec.py::test_x`, and further tests of the same file as `::test_y`.
NAMED = re.compile(r"`(tests/[\w/]+\.py)?::(\w+)`")
DOCUMENTS = ["docs/reliability.md", "SECURITY.md"]


def named_tests(text: str) -> list[tuple[str, str]]:
    """Path and name of each test that a document names, line by line."""
    found = []
    for line in text.splitlines():
        path = ""
        for match in NAMED.finditer(line):
            path = match[1] or path
            found.append((path, match[2]))
    return found


def rows(text: str) -> list[str]:
    """The rows of all tables, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [line for line in lines if not re.match(r"\|[-| ]+\|$", line) and "Held by" not in line]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    named = named_tests(text)
    assert named
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^ *(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_row_of_a_table_names_its_test(document: str) -> None:
    assert [row for row in rows((ROOT / document).read_text()) if not named_tests(row)] == []
