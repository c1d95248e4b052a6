"""One browser and one server of each kind for all tests here; skipped where something is missing.

Pictures go to pytest's temporary directory. With ``KERNELFLEET_PICTURES=docs`` those of the
documentation are written anew: ``docs/pictures/``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import Page
from tests.browser.servers import ROOT, Server

HERE = Path(__file__).parent

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "chrome-headless-shell",
    "chromium-headless-shell",
)  # fmt: skip

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

#: The interpreter of an environment with the oldest JupyterLab that is supported, and this package.
OLDEST = "KERNELFLEET_OLDEST_LAB"

#: No picture of the documentation is larger.
MOST_BYTES = 200 * 1024


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here are slow, and run in one process, so that they share servers and browser."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(180))
            item.add_marker(pytest.mark.xdist_group("browser"))


def needed(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = needed("playwright.sync_api")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def lab_server(chromium: Any) -> Iterator[Server]:
    """The JupyterLab of this environment."""
    needed("jupyterlab")
    server = Server(sys.executable)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def notebook_server(chromium: Any) -> Iterator[Server]:
    """The Notebook 7 of this environment."""
    if importlib.util.find_spec("notebook") is None:
        pytest.skip("notebook is not installed")
    server = Server(sys.executable, "notebook")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def oldest_server(chromium: Any) -> Iterator[Server]:
    """The oldest JupyterLab that is supported."""
    python = os.environ.get(OLDEST)
    if not python:
        pytest.skip(f"{OLDEST} names no interpreter with an older JupyterLab")
    server = Server(python)
    yield server
    server.stop()


@pytest.fixture
def new_page(chromium: Any) -> Iterator[Callable[..., Page]]:
    """Makes pages; in the end none of them may have complained."""
    pages: list[Page] = []

    def make(server: Server, **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": 1280, "height": 800}, **options)
        page = Page(context.new_page(), server)
        pages.append(page)
        return page

    yield make
    complaints = [error for page in pages for error in page.errors]
    for page in pages:
        page.page.context.close()
    assert complaints == []


@pytest.fixture
def lab(new_page: Callable[..., Page], lab_server: Server) -> Page:
    """JupyterLab with nothing open but the launcher."""
    page = new_page(lab_server)
    page.open("lab")
    return page


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Keeps a picture of the documentation."""
    wanted = os.environ.get("KERNELFLEET_PICTURES") == "docs"
    folder = ROOT / "docs" / "pictures" if wanted else tmp_path

    def save(name: str, content: bytes) -> Path:
        assert len(content) <= MOST_BYTES, f"{name}: {len(content)} bytes"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        path.write_bytes(content)
        return path

    return save
