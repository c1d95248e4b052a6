"""JupyterLab in a real, headless browser: what a user types and sees.

Needs JupyterLab, playwright and a Chromium; skipped with the reason where one is missing. The
screenshots are kept in ``$KERNELFLEET_SCREENSHOTS``, else in pytest's temporary directory.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "chrome-headless-shell",
    "chromium-headless-shell",
)  # fmt: skip

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

CONFIG = """
from jupyterlab.galata import configure_jupyter_server
configure_jupyter_server(c)
c.ServerApp.allow_root = True
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.root_dir = {root!r}
"""

#: The question about news would stand before everything else.
QUIET = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code", "id": "first", "metadata": {}, "source": "",
            "outputs": [], "execution_count": None,
        }
    ],
    "metadata": {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
    },
    "nbformat": 4,
    "nbformat_minor": 5,
}  # fmt: skip

#: Lab 4.6 has a MIME type of its own for them, earlier ones that of stderr.
ERROR_OUTPUT = ", ".join(
    f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr")
)

RUN = """code => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.length - 1;
    notebook.activeCell.model.sharedModel.setSource(code);
    jupyterapp.commands.execute('notebook:run-cell-and-insert-below');
}"""

FIGURES = """%%px
import matplotlib.pyplot as plt
plt.figure(figsize=(2, 1.5))
plt.plot([x ** engine_id for x in range(5)]);
"""

IS_DONE = """() => {
    const panel = jupyterapp.shell.currentWidget, cells = panel.content.widgets;
    const last = cells[cells.length - 2];
    return last && last.model.executionCount !== null
        && panel.context.sessionContext.session.kernel.status === 'idle';
}"""

OUTPUT = """() => {
    const cells = jupyterapp.shell.currentWidget.content.widgets;
    return cells[cells.length - 2].outputArea.node.innerText;
}"""


#: What README.md says that JupyterLab shows.
AS_IN_THE_README = (
    (Path(__file__).parents[2] / "README.md")
    .read_text()
    .partition("<!-- as JupyterLab shows it -->\n```text\n")[2]
    .partition("\n```")[0]
)


def needed(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """JupyterLab on a port of its own, with one notebook."""
    needed("jupyterlab")
    root = tmp_path / "root"
    root.mkdir()
    (root / "work.ipynb").write_text(json.dumps(NOTEBOOK))
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(root=str(root)))
    url = f"http://127.0.0.1:{(port := free_port())}/lab"
    command = [sys.executable, "-m", "jupyterlab", f"--config={config}", f"--port={port}"]
    settings = tmp_path / "settings" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "page_config.json").write_text(json.dumps(QUIET))
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(settings.parent)}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    yield url
    process.terminate()
    process.wait(timeout=30)


class Lab:
    """A page with the notebook open; what is typed goes into its last cell."""

    def __init__(self, page: Any, url: str, pictures: Path) -> None:
        self._page, self._pictures = page, pictures
        deadline = time.monotonic() + 60
        while True:
            try:
                page.goto(url)
                break
            except Exception:
                assert time.monotonic() < deadline, "the server does not answer"
                page.wait_for_timeout(200)
        page.wait_for_function("window.jupyterapp")
        page.evaluate("jupyterapp.restored.then(() => 1)")
        opening = "jupyterapp.commands.execute('docmanager:open', {path: 'work.ipynb'})"
        page.evaluate(f"{opening}.then(panel => panel.sessionContext.ready).then(() => 1)")

    def start(self, code: str) -> None:
        self._page.evaluate(RUN, code)

    def done(self) -> str:
        """Wait until the cell has ended; its output."""
        self._page.wait_for_function(IS_DONE, timeout=30_000)
        self._page.wait_for_timeout(300)  # Lab draws outputs a frame later
        return self.output

    def run(self, code: str) -> str:
        self.start(code)
        return self.done()

    @property
    def output(self) -> str:
        return str(self._page.evaluate(OUTPUT))

    def see(self, text: str) -> None:
        """Wait until the output of the running cell has a text."""
        condition = f"() => ({OUTPUT})().includes({json.dumps(text)})"
        self._page.wait_for_function(condition, timeout=20_000)

    def press_stop(self) -> None:
        self._page.locator('[data-jp-item-name="interrupt"]').first.click()

    def answer(self, text: str) -> None:
        """Type into the input box of a cell."""
        box = self._page.locator(".jp-Stdin-input:not([disabled])").last
        box.wait_for()
        box.fill(text)
        box.press("Enter")

    def count(self, selector: str) -> int:
        return int(self._page.locator(selector).count())

    def picture(self, name: str) -> None:
        self._page.screenshot(path=self._pictures / f"{name}.png")


@pytest.fixture
def lab(server: str, tmp_path: Path) -> Iterator[Lab]:
    playwright = needed("playwright.sync_api")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    pictures = Path(os.environ.get("KERNELFLEET_SCREENSHOTS", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=FLAGS)
        page = chromium.new_page(viewport={"width": 1100, "height": 900})
        yield Lab(page, server, pictures)
        chromium.close()


def test_a_session_in_jupyterlab(lab: Lab) -> None:
    assert lab.run("%load_ext kernelfleet") == ""
    assert "4 engines ready after" in lab.run("%fleet start -n 4")
    shown = lab.run("mec")
    assert all(word in shown for word in ("executed", "MiB", "CPU", "up"))
    assert lab.count("table") == 1
    assert "MiB" in lab.run("mec.engines()")
    assert lab.count("table") == 2
    lab.picture("1-start")

    lab.run("mec.execute('a = 10 * engine_id')")
    shown = lab.run("mec.execute('print(a)', targets=[0, 2])")
    assert shown.partition("]:")[2].split() == AS_IN_THE_README.split() != []
    lines = lab.run("%px print('once')\nfor i in range(2):\n    %px print('turn')")
    assert re.findall(r"^\[0-3\] (?!In$)\w+$", lines, re.MULTILINE) == [
        "[0-3] once", "[0-3] turn", "[0-3] turn",
    ]  # fmt: skip

    lab.start("%%px\nimport time\nfor i in range(12):\n    print('step', i)\n    time.sleep(0.25)")
    lab.see("[3] step 5")
    lab.see("0 of 4 engines done")
    lab.picture("2-live")
    assert lab.done().strip() == "\n".join(f"[0-3] step {i}" for i in range(12))
    lab.picture("3-final")

    failed = lab.run("%%px\nprint('before')\nvalue = 1 / (engine_id - 2)")
    assert "[0-3] before" in failed
    assert "[2:execute]: ZeroDivisionError: division by zero" in failed
    assert failed.count("Traceback (most recent call last)") == 1
    assert lab.count(ERROR_OUTPUT) == 1
    lab.picture("4-error")

    lab.start("%%px\nfor i in range(600):\n    print('waiting', i)\n    time.sleep(0.1)")
    lab.see("[3] waiting 4")
    began = time.monotonic()
    lab.press_stop()
    stopped = lab.done()
    assert time.monotonic() - began < 3
    assert "engines interrupted: 0, 1, 2, 3" in stopped
    lab.picture("5-stopped")

    if importlib.util.find_spec("matplotlib"):
        lab.run(FIGURES)
        assert lab.count("figure img") == 4
        lab.picture("6-pictures")

    lab.start("%pxdebug 2")
    lab.answer("p engine_id * 21")
    lab.see("42")
    lab.answer("q")
    talk = lab.done()
    assert talk.index("p engine_id * 21") < talk.index("[2] 42") < talk.rindex("ipdb>")
    lab.picture("7-debugger")

    lab.start("mec.map(lambda x: time.sleep(0.2), range(48)) and None")
    lab.see("items")
    lab.picture("8-progress")
    assert re.fullmatch(r"map: 48 of 48 items done after \d s", lab.done().strip())
    assert "The fleet has ended" in lab.run("%fleet stop")
