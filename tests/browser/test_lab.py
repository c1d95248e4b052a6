"""JupyterLab with real fleets: panel, timeline, Running, status bar, engines as notebooks."""

from __future__ import annotations

import json
import re
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kernelfleet
from tests.browser.pages import Page
from tests.browser.servers import Server

#: Some work of unequal length, from the notebook; what it shows is not waited for.
WORK = """() => {
    const panel = [...jupyterapp.shell.widgets('main')].find(each => each.content?.activeCell);
    const code = `
def step(i):
    time.sleep(0.05 + i % 5 / 10 + engine_id / 10)
mec.push({"step": step})
for i in range(4):
    mec.execute(f"step({i})")
mec.map(lambda i: time.sleep(0.04 * (i % 7)), range(60))
`;
    panel.sessionContext.session.kernel.requestExecute({code: 'import time' + code});
}"""

Save = Callable[[str, bytes], Path]


@pytest.fixture(scope="module")
def lab_with_fleets(lab_server: Server) -> Iterator[Server]:
    """The server with a fleet from a terminal; those of a test are stopped after it."""
    lab_server.run("-m", "kernelfleet.cli", "start", "terminal", "-n", "2", "--daemonize")
    yield lab_server
    for fleet in lab_server.ask("kernelfleet/api/fleets")["fleets"]:
        lab_server.ask(f"kernelfleet/api/fleets/{fleet['name']}", "DELETE")


def test_the_extension_is_installed_and_enabled(lab_server: Server) -> None:
    """As this clone's folders are, and as `pip install` puts them (tests/test_package.py)."""
    told = lab_server.run("-m", "jupyterlab.labextensions", "list")
    assert f"kernelfleet v{kernelfleet.__version__} enabled OK (python, kernelfleet)" in re.sub(
        r"\x1b\[\d*m", "", told
    )
    told = lab_server.run("-m", "jupyter_server.extension.serverextension", "list")
    assert "kernelfleet" in told


def test_somebody_without_the_token_gets_403(lab_server: Server) -> None:
    for token in ("", "another"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            lab_server.ask("kernelfleet/api/fleets", token=token)
        assert refused.value.code == 403
        refused.value.close()


def test_a_fleet_is_started_scaled_interrupted_and_stopped(
    lab_with_fleets: Server, new_page: Callable[..., Page], pictures: Save
) -> None:
    server = lab_with_fleets
    server.write("work.ipynb", "")
    page = new_page(server)
    page.open("lab")
    page.open_panel()
    page.engine("terminal", 1).wait_for()

    # one from the dialog ...
    page.panel.locator('[data-kf-action="new"]').click()
    form = page.page.locator(".jp-Dialog .kf-form")
    form.locator("[name=name]").fill("not a name")
    form.get_by_text("A name is letters, digits").wait_for()
    page.page.keyboard.press("Enter")
    form.locator("[name=name]").fill("terminal")
    form.get_by_text("There is a fleet “terminal” already.").wait_for()
    form.locator("[name=name]").fill("dialog")
    form.locator("[name=n]").fill("3")
    page.picture(pictures, "new-fleet")
    page.accept()
    page.engine("dialog", 2).wait_for(timeout=30_000)
    assert page.engines("dialog").count() == 3

    # ... and one from a notebook
    page.open_notebook("work.ipynb")
    page.run_cell("%load_ext kernelfleet\n%fleet start -n 2 --name embedded")
    page.engine("embedded", 1).wait_for()
    facts = page.card("embedded").locator(".kf-facts")
    facts.get_by_text("of notebook work.ipynb").wait_for()

    # the cell that connects to another one goes below
    page.do("connect", "dialog")
    source = "jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource()"
    page.page.wait_for_function(f"{source}.includes('%fleet connect dialog')")
    assert "3 engines of fleet 'dialog'" in page.run_cell(page.page.evaluate(source))

    # to 6 and back
    for n in (6, 3):
        page.do("scale", "dialog")
        page.page.locator(".jp-Dialog [name=n]").fill(str(n))
        page.accept()
        page.page.wait_for_function(
            f"document.querySelectorAll('[data-kf-fleet=dialog] [data-kf-engine]').length === {n}"
        )

    # a busy engine is seen, interrupted, and its log read
    page.run_cell(
        "%%px --noblock\nimport time\nprint('begun')\nfor i in range(600): time.sleep(0.1)"
    )
    busy = '[data-kf-fleet=dialog] [data-kf-engine="{}"][data-kf-state="{}"]'
    for i in range(3):
        page.page.locator(busy.format(i, "busy")).wait_for()
    assert "time.sleep" in page.engine("dialog", 1).inner_text()
    status = page.page.locator("#kernelfleet-status")
    status.get_by_text("3 / 7 busy").wait_for()
    page.picture(pictures, "panel")
    page.do("interrupt", "dialog", 1)
    page.page.locator(busy.format(1, "idle")).wait_for()
    assert page.engine("dialog", 0).get_attribute("data-kf-state") == "busy"
    page.do("log", "dialog", 1)
    page.page.locator(".kf-log pre").get_by_text("begun").wait_for()
    page.do("timeline", "dialog")
    words = page.page.locator(".kf-timeline-words")
    words.get_by_text("bars").wait_for()
    spans = "Number(document.querySelector('.kf-timeline').dataset.kfSpans)"
    page.page.wait_for_function(f"{spans} > 0")  # engine 1 has been interrupted
    page.do("interrupt", "dialog")
    page.page.locator(busy.format(0, "idle")).wait_for()
    before = page.page.evaluate(spans)
    page.page.evaluate(WORK)
    page.page.wait_for_function(f"{spans} >= {before} + 12", timeout=30_000)
    page.page.wait_for_timeout(600)  # (the picture below is to have the last of them)
    page.picture(pictures, "timeline")
    page.command("application:close")

    # the Running panel has all of them
    page.command("running:show-panel")
    running = page.page.locator("#jp-running-sessions")
    for name in ("terminal", "dialog", "embedded"):
        running.get_by_text(name, exact=True).first.wait_for()

    # stop
    page.open_panel()
    page.do("stop", "dialog")
    page.accept()
    page.card("dialog").wait_for(state="detached")
    status.get_by_text("/ 4 busy").wait_for()
    names = {fleet["name"] for fleet in server.ask("kernelfleet/api/fleets")["fleets"]}
    assert names == {"terminal", "embedded"}
    page.do("stop", "embedded")
    page.accept()
    page.card("embedded").wait_for(state="detached")
    status.get_by_text("/ 2 busy").wait_for()


def test_a_refusal_of_the_server_is_told_with_what_to_do(
    lab_with_fleets: Server, new_page: Callable[..., Page]
) -> None:
    page = new_page(lab_with_fleets)
    page.open("lab")
    page.open_panel()
    page.engine("terminal", 0).wait_for()
    page.do("scale", "terminal")
    page.page.locator(".jp-Dialog [name=n]").fill("3")
    lab_with_fleets.ask("kernelfleet/api/fleets/terminal", "DELETE")
    page.accept()
    told = page.page.locator(".Toastify__toast, .jp-toast-message").first
    told.wait_for()
    assert "Start a fleet of that name" in told.inner_text()
    page.card("terminal").wait_for(state="detached")
    lab_with_fleets.run("-m", "kernelfleet.cli", "start", "terminal", "-n", "2", "--daemonize")
    page.engine("terminal", 1).wait_for()
    page.errors[:] = [error for error in page.errors if "404" not in error]


def test_an_engine_is_opened_as_a_notebook_and_as_a_console(
    lab_with_fleets: Server, new_page: Callable[..., Page], pictures: Save
) -> None:
    page = new_page(lab_with_fleets)
    page.open("lab")
    page.open_panel()
    page.engine("terminal", 1).wait_for()
    page.do("notebook", "terminal", 1)
    page.page.locator(".jp-NotebookPanel").wait_for()
    page.wait_for_kernel()
    assert page.run_cell("secret = 4242\nengine_id, n_engines").strip().endswith("(1, 2)")
    assert (
        lab_with_fleets.run(
            "-c",
            "from kernelfleet import MultiEngineClient\n"
            "print(MultiEngineClient('terminal').pull('secret', targets=1))",
        ).strip()
        == "[4242]"
    )  # fmt: skip
    page.picture(pictures, "engine-as-notebook")
    page.do("console", "terminal", 1)
    console = page.page.locator(".jp-CodeConsole")
    console.wait_for()
    page.wait_for_kernel()
    kernels = lab_with_fleets.ask("api/kernels")
    assert json.dumps(kernels).count('"id"') == len({kernel["id"] for kernel in kernels})
