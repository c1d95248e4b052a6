"""The magics in JupyterLab: what a user types and sees.

The pictures of this session are kept in ``$KERNELFLEET_SCREENSHOTS``, else in pytest's temporary
directory.
"""

from __future__ import annotations

import importlib.util
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.pages import Page
from tests.browser.servers import ROOT, Server

#: Lab 4.6 has a MIME type of its own for them, earlier ones that of stderr.
ERROR_OUTPUT = ", ".join(
    f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr")
)

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

#: What README.md says that JupyterLab shows.
AS_IN_THE_README = (
    (ROOT / "README.md")
    .read_text()
    .partition("<!-- as JupyterLab shows it -->\n```text\n")[2]
    .partition("\n```")[0]
)


class Session:
    """A notebook; what is typed goes into its last cell."""

    def __init__(self, page: Page, pictures: Path) -> None:
        self._lab, self._page, self._pictures = page, page.page, pictures

    def start(self, code: str) -> None:
        self._lab.start_cell(code)

    def done(self) -> str:
        """Wait until the cell has ended; its output."""
        self._page.wait_for_function(IS_DONE, timeout=30_000)
        self._page.wait_for_timeout(300)  # Lab draws outputs a frame later
        return self._lab.output

    def run(self, code: str) -> str:
        self.start(code)
        return self.done()

    def see(self, text: str) -> None:
        """Wait until the output of the running cell has a text."""
        self._lab.see(text)

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
def lab(lab_server: Server, new_page: Callable[..., Page], tmp_path: Path) -> Session:
    lab_server.write("magics.ipynb", "")
    page = new_page(lab_server)
    page.open("lab")
    page.open_notebook("magics.ipynb")
    pictures = Path(os.environ.get("KERNELFLEET_SCREENSHOTS", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    return Session(page, pictures)


def test_a_session_in_jupyterlab(lab: Session) -> None:
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
