"""The documents name tests, files, functions and each other; those exist."""

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


#: A file, and perhaps a function, class or method in it.
PLACE = re.compile(r"(?<![\w/.-])((?:[\w-]+/)*\w+\.py)(?:::([\w.]+))?")
#: A folder, in backticks.
FOLDER = re.compile(r"`((?:[\w-]+/)+)`")
LINKED = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]


def missing_places(text: str) -> list[str]:
    """Files and folders that are not there, and names that their file does not define.

    Paths are relative to the package, or to the repository.
    """
    missing = [name for name in FOLDER.findall(text) if not in_package(name).is_dir()]
    for file, names in set(PLACE.findall(text)):
        path = in_package(file)
        source = path.read_text("utf-8") if path.is_file() else ""
        defined = re.findall(r"^ *(?:async def|def|class) (\w+)", source, re.MULTILINE)
        if not source or not set(filter(None, names.split("."))) <= set(defined):
            missing.append(f"{file}::{names}")
    return missing


def in_package(name: str) -> Path:
    inside = ROOT / "kernelfleet" / name
    return inside if inside.exists() else ROOT / name


def test_every_place_that_the_architecture_page_names_exists() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    assert len(PLACE.findall(text)) > 40
    assert missing_places(text) == []


def test_the_architecture_page_names_every_room() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    package = ROOT / "kernelfleet"
    rooms = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")}
    assert {room for room in rooms - {"."} if f"`{room}/`" not in text} == set()


def test_a_place_that_does_not_exist_is_found() -> None:
    assert missing_places("client/nowhere.py") == ["client/nowhere.py::"]
    assert missing_places("wire/codec.py::Codec.sing") == ["wire/codec.py::Codec.sing"]
    assert missing_places("`wire/nowhere/`") == ["wire/nowhere/"]
    assert missing_places("wire/codec.py::Codec.encode `wire/` `tests/wire/`") == []


#: The pages of docs/ that somebody has written; the others come from the sources at each build.
WRITTEN = [
    path
    for path in (ROOT / "docs").rglob("*.md")
    if "_generated" not in path.parts and "_build" not in path.parts
]


def documents() -> list[Path]:
    return [*(ROOT / name for name in LINKED), *sorted(WRITTEN)]


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path, text: str) -> list[str]:
    """Relative links whose file or whose heading does not exist."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        if target.parent == ROOT / "docs" / "notebooks":  # where the site has copies of them
            target = ROOT / "notebooks" / target.name
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            broken.append(link)
    return broken


@pytest.mark.parametrize(
    "document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    assert broken_links(document, document.read_text("utf-8")) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    text = "[a](nowhere.md) [b](README.md#nowhere) [c](https://example.org/x) `[d](e)` [f](docs)"
    assert broken_links(ROOT / "README.md", text) == ["nowhere.md", "README.md#nowhere"]


def in_toctrees() -> set[Path]:
    """The pages that some page's table of contents names."""
    found = set()
    for page in WRITTEN:
        for block in re.findall(r":::\{toctree\}\n(.*?):::", page.read_text("utf-8"), re.DOTALL):
            names = [line for line in block.split() if not line.startswith(":")]
            found |= {(page.parent / f"{name.strip('<>')}.md").resolve() for name in names}
    return found


def test_every_page_of_the_site_is_in_a_table_of_contents() -> None:
    pages = {page for page in WRITTEN if page.name != "index.md" or page.parent.name != "docs"}
    assert pages - in_toctrees() == set()
