"""Live widgets of engines in JupyterLab: what the user moves in the page changes an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.notebook.widgets.as_text import NOT_LIVE
from tests.browser.pages import Page
from tests.browser.servers import Server

pytest.importorskip("ipywidgets")

Save = Callable[[str, bytes], Path]

SLIDERS = """%%px
import ipywidgets as w
rate = w.IntSlider(value=10 * engine_id, description='rate')
said = w.Label()
def changed(change):
    said.value = f'engine {engine_id} has {change.new}'
    print('changed to', change.new)
rate.observe(changed, 'value')
display(w.VBox([rate, said]))
"""


@pytest.fixture
def notebook(lab_server: Server, new_page: Callable[..., Page]) -> Page:
    """A notebook with a fleet of two engines."""
    if not (Path(lab_server.home) / "share/labextensions/@jupyter-widgets").exists():
        pytest.skip("jupyterlab_widgets is not installed")
    lab_server.write("widgets.ipynb")
    page = new_page(lab_server)
    page.open("lab")
    page.open_notebook("widgets.ipynb")
    page.run_cell("%load_ext kernelfleet")
    assert "2 engines ready" in page.run_cell("%fleet start -n 2")
    return page


def handle(page: Page) -> Any:
    """The handle of the slider that is seen."""
    return page.page.locator(".widget-slider .noUi-handle:visible")


def move(page: Page, steps: int) -> None:
    """Move the slider that is seen by the keyboard."""
    handle(page).focus()
    for _ in range(steps):
        page.page.keyboard.press("ArrowRight")


def see(page: Page, text: str) -> None:
    """Wait until the notebook shows a text."""
    page.page.get_by_text(text, exact=False).locator("visible=true").first.wait_for(timeout=20_000)


def values(page: Page) -> str:
    return page.run_cell("print(mec.pull('rate.value'))").strip().splitlines()[-1]


def test_a_slider_of_engine_1_moves_a_variable_there_also_after_a_reload(
    notebook: Page, pictures: Save
) -> None:
    notebook.run_cell(SLIDERS)
    tabs = notebook.page.locator(".jupyter-widget-tab .lm-TabBar-tabLabel")
    tabs.nth(1).wait_for()
    assert tabs.all_inner_texts() == ["engine 0", "engine 1"]
    tabs.nth(1).click()
    move(notebook, 5)
    see(notebook, "engine 1 has 15")
    see(notebook, "changed to 15")  # what the callback has printed, below its widget
    assert values(notebook) == "[0, 15]"
    handle(notebook).scroll_into_view_if_needed()
    notebook.picture(pictures, "widgets")

    box = handle(notebook).bounding_box()
    mouse = notebook.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + 60, box["y"] + box["height"] / 2, steps=30)
    mouse.up()
    shown = notebook.page.locator(".widget-slider .widget-readout:visible").inner_text()
    assert int(shown) > 15
    see(notebook, f"engine 1 has {shown}")
    assert values(notebook) == f"[0, {shown}]"

    notebook.page.evaluate("jupyterapp.commands.execute('docmanager:save').then(() => 1)")
    notebook.open("lab")  # (without what was open; the kernel goes on)
    notebook.open_notebook("widgets.ipynb")
    tabs.nth(1).click()
    see(notebook, f"engine 1 has {shown}")
    move(notebook, 2)
    see(notebook, f"engine 1 has {int(shown) + 2}")

    notebook.run_cell("%fleet stop")
    see(notebook, NOT_LIVE)
    assert notebook.page.locator(".widget-slider").count() == 0


def test_a_saved_notebook_has_the_text_of_its_widgets_when_it_is_opened_again(
    notebook: Page,
) -> None:
    notebook.run_cell(SLIDERS)
    handle(notebook).wait_for()
    notebook.page.evaluate("jupyterapp.commands.execute('docmanager:save').then(() => 1)")
    notebook.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown().then(() => 1)")
    notebook.open("lab")
    notebook.open_notebook("widgets.ipynb")
    see(notebook, NOT_LIVE)
    see(notebook, "[1] VBox(children=(IntSlider(value=10")
    assert notebook.page.get_by_text("model not found").count() == 0
    complaints = [each for each in notebook.errors if "model not found" not in each]
    notebook.errors[:] = complaints  # (ipywidgets' own, as of any widget in a saved notebook)


def test_a_fleet_that_ends_leaves_the_reason_where_its_widgets_were(notebook: Page) -> None:
    notebook.run_cell(SLIDERS)
    handle(notebook).wait_for()
    notebook.run_cell("%fleet stop")
    see(notebook, "live no more: the fleet was stopped")
    assert notebook.page.locator(".widget-slider").count() == 0


def test_interact_progress_and_figures(notebook: Page) -> None:
    notebook.run_cell(
        "%%px -t 1\nimport ipywidgets as w\n@w.interact(x=(0, 10))\n"
        "def f(x): print('x is', x, 'on', engine_id)"
    )
    see(notebook, "x is 5 on 1")
    move(notebook, 2)
    see(notebook, "x is 7 on 1")

    shown = notebook.run_cell(
        "%%px\nfrom tqdm.notebook import tqdm\nimport time\n"
        "for _ in tqdm(range(20)): time.sleep(0.1)"
    )
    assert "100%|██████████| 20/20 [" in shown

    pytest.importorskip("ipympl")
    notebook.run_cell("%px %matplotlib widget")
    notebook.run_cell(
        "%%px -t 0\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots(figsize=(3, 2))\n"
        "ax.plot([1, 3, 2])\nplt.show()"
    )
    canvas = notebook.page.locator(".jupyter-matplotlib-canvas-div canvas").first
    canvas.wait_for(timeout=20_000)
    notebook.page.wait_for_function(
        """() => {
            const canvas = document.querySelector('.jupyter-matplotlib-canvas-div canvas');
            if (!canvas?.width) return false;
            const { width, height } = canvas;
            const colours = canvas.getContext('2d').getImageData(0, 0, width, height).data;
            return new Set(colours).size > 2;  // something is drawn
        }""",
        timeout=20_000,
    )
    notebook.run_cell("%fleet stop")
