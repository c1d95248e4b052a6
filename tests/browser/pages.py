"""A page of JupyterLab or Notebook in a browser: what a user sees and does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.servers import TOKEN, Server

#: The machine's network has changed below the browser, which then ends all its requests.
_NETWORK = ("ERR_NETWORK_CHANGED", "ERR_INTERNET_DISCONNECTED")
#: What JupyterLab 4.6 says when a kernel is restarted, and Notebook 7.6 when it loads, the last one
#: for an icon of consoles that it does not have; they do so without this extension, too.
_NOT_OURS = ("Could not restore the debugger state", "reading 'schema'", "favicon-console.ico")

HAS_A_KERNEL = """() => {
    const kernel = jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.status === 'idle';
}"""


RUN = """async code => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.length - 1;
    notebook.activeCell.model.sharedModel.setSource(code);
    await jupyterapp.commands.execute('notebook:run-cell-and-insert-below');
}"""

OUTPUT = """() => {
    const cells = jupyterapp.shell.currentWidget.content.widgets;
    return cells[cells.length - 2].outputArea.node.innerText;
}"""


class Page:
    """One page, with what it has complained of."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page, self.server = page, server
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self._note(f"page: {error}"))
        page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self._note(f"console: {message.text} {message.location}")

    def _note(self, complaint: str) -> None:
        if not any(words in complaint for words in _NOT_OURS):
            self.errors.append(complaint)

    def open(self, path: str) -> None:
        """Go to a page of the server, without what was open before, and wait until it is complete.

        If the network of the machine changes meanwhile, the browser ends all its requests: then
        the page is opened once more.
        """
        for _ in range(5):
            self.errors.clear()
            self.page.goto(f"{self.server.url}/{path}?token={TOKEN}&reset")
            self.page.wait_for_function("window.jupyterapp", timeout=60_000)
            self.page.evaluate("jupyterapp.restored.then(() => 1)")
            if not any(word in error for error in self.errors for word in _NETWORK):
                return
        raise AssertionError(f"the page cannot be loaded: {self.errors}")

    # -- commands and documents -----------------------------------------------------------------

    def command(self, name: str, **arguments: Any) -> None:
        """Run a command of JupyterLab, and do not wait for what it asks."""
        call = f"void jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(arguments)})"
        self.page.evaluate(call)

    def open_panel(self) -> None:
        self.command("kernelfleet:open-panel")
        self.panel.wait_for()

    def open_notebook(self, name: str) -> None:
        """Open a notebook, and wait for its kernel."""
        opening = f"jupyterapp.commands.execute('docmanager:open', {{path: {json.dumps(name)}}})"
        self.page.evaluate(
            f"{opening}.then(panel => panel.sessionContext.ready.then("
            "() => panel.sessionContext.session.kernel.info)).then(() => 1)"
        )

    def wait_for_kernel(self) -> None:
        """Wait until the current notebook or console can run code."""
        self.page.wait_for_function(HAS_A_KERNEL, timeout=60_000)

    def start_cell(self, code: str) -> None:
        """Run code in the last cell of the current notebook, and do not wait."""
        self.page.evaluate(f"code => {{ ({RUN})(code) }}", code)

    def run_cell(self, code: str) -> str:
        """Run code in the last cell of the current notebook; its output as text."""
        self.page.evaluate(RUN, code)
        return self.output

    @property
    def output(self) -> str:
        """The output of the last but one cell of the current notebook."""
        return str(self.page.evaluate(OUTPUT))

    def see(self, text: str) -> None:
        """Wait until the output of the last cell that was run has a text."""
        condition = f"text => ({OUTPUT})().includes(text)"
        self.page.wait_for_function(condition, arg=text, timeout=30_000)

    # -- the panel ------------------------------------------------------------------------------

    @property
    def panel(self) -> Any:
        return self.page.locator("#kernelfleet-panel:not(.lm-mod-hidden)")

    def card(self, fleet: str) -> Any:
        return self.panel.locator(f'[data-kf-fleet="{fleet}"]')

    def engine(self, fleet: str, engine_id: int) -> Any:
        return self.card(fleet).locator(f'[data-kf-engine="{engine_id}"]')

    def engines(self, fleet: str) -> Any:
        return self.card(fleet).locator("[data-kf-engine]")

    def do(self, action: str, fleet: str, engine_id: int | None = None) -> None:
        """Press a button of a fleet, or of one of its engines."""
        if engine_id is None:
            self.card(fleet).locator(f'.kf-card-head [data-kf-action="{action}"]').click()
            return
        row = self.engine(fleet, engine_id)
        row.hover()
        row.locator(f'[data-kf-action="{action}"]').click()

    def accept(self) -> None:
        """Press the accepting button of the dialog."""
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")

    # -- pictures -------------------------------------------------------------------------------

    def picture(self, save: Callable[[str, bytes], Path], name: str, **options: Any) -> None:
        """Take a picture of the page, and keep it where the run keeps them."""
        save(name, self.page.screenshot(**options))
