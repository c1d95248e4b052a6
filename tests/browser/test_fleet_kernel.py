"""A fleet as the kernel of a notebook in JupyterLab, and the timeline in a notebook."""

from __future__ import annotations

import json
from collections.abc import Callable

from kernelfleet import Span, Timeline
from tests.browser.pages import Page
from tests.browser.servers import Server, notebook_with
from tests.fleets import eventually


def test_the_kernel_runs_cells_on_all_engines_and_stop_and_restart_work(
    lab_server: Server, new_page: Callable[..., Page]
) -> None:
    lab_server.run("-m", "kernelfleet.cli", "install-kernel", "-n", "2", "--user")
    notebook = notebook_with("")
    notebook["metadata"]["kernelspec"] = {
        "name": "fleet-2", "display_name": "Fleet (2 engines)", "language": "python",
    }  # fmt: skip
    (lab_server.root / "fleet.ipynb").write_text(json.dumps(notebook))
    page = new_page(lab_server)
    page.open("lab")
    page.open_notebook("fleet.ipynb")
    assert "Fleet (2 engines)" in page.page.locator(".jp-NotebookPanel").inner_text()
    assert "[1] value 10" in page.run_cell("print('value', engine_id * 10)")
    page.page.locator(".kf-outputs").get_by_role("tab", name="Engine 1").click()
    assert page.run_cell("%%local\n6 * 7").strip().endswith("42")
    assert "ZeroDivisionError: division by zero" in page.run_cell("1/0")

    page.page.evaluate(
        """code => {
            const notebook = jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = notebook.widgets.length - 1;
            notebook.activeCell.model.sharedModel.setSource(code);
            void jupyterapp.commands.execute('notebook:run-cell-and-insert-below');
        }""",
        "import time\nprint('begun')\ntime.sleep(600)",
    )
    page.page.get_by_text("[0] begun").wait_for()
    page.command("notebook:interrupt-kernel")
    page.page.get_by_text("KeyboardInterrupt").first.wait_for()
    page.wait_for_kernel()
    assert "KeyboardInterrupt" in page.output

    page.page.evaluate(
        "jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart().then(() => 1)"
    )
    assert "[0-1] True" in page.run_cell("print('time' not in globals())")

    # its fleet ends with the kernel, and is not seen by the tests that follow
    for session in lab_server.ask("api/sessions"):
        lab_server.ask(f"api/sessions/{session['id']}", "DELETE")
    eventually(lambda: not lab_server.ask("kernelfleet/api/fleets")["fleets"])


def test_a_saved_timeline_is_seen_also_where_nobody_trusts_it(
    lab_server: Server, new_page: Callable[..., Page]
) -> None:
    spans = [Span(i, "a", "execute('f()')", "execute", 100.0, 1.0 + i) for i in range(3)]
    timeline = Timeline(spans)
    notebook = notebook_with("1")
    data = {"text/html": timeline._repr_html_(), "text/plain": repr(timeline)}
    notebook["cells"][0]["outputs"] = [
        {"output_type": "display_data", "data": data, "metadata": {}}
    ]
    (lab_server.root / "timeline.ipynb").write_text(json.dumps(notebook))
    page = new_page(lab_server)
    page.open("lab")
    page.open_notebook("timeline.ipynb")
    picture = page.page.locator(".jp-OutputArea img")
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 600
    assert "3 engines" in str(picture.get_attribute("alt"))
