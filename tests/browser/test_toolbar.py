"""The choice "Engines" in the toolbar of a notebook: every cell runs on all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import Page
from tests.browser.servers import Server
from tests.browser.test_timeline import MODULE

NAME = "chosen"

_numbers = itertools.count()


@pytest.fixture(scope="module")
def with_fleet(lab_server: Server) -> Iterator[Server]:
    lab_server.run("-m", "kernelfleet.cli", "start", NAME, "-n", "3", "--daemonize")
    yield lab_server
    lab_server.run("-m", "kernelfleet.cli", "stop", NAME)


@pytest.fixture
def notebook(with_fleet: Server, new_page: Callable[..., Page]) -> Page:
    name = f"{next(_numbers)}.ipynb"  # (the kernel of a notebook stays when its page is closed)
    with_fleet.write(name, "")
    page = new_page(with_fleet)
    page.open("lab")
    page.open_notebook(name)
    return page


def choice(page: Page) -> Any:
    return page.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) [data-kf-engines-choice]")


def choose(page: Page, value: str) -> None:
    choice(page).select_option(value)
    page.page.wait_for_function(
        "value => { const select = document.querySelector('[data-kf-engines-choice]');"
        " return !select.disabled && select.value === value; }",
        arg=value,
        timeout=30_000,
    )


def engines(page: Page) -> str:
    """How many engines the cells of the notebook run on, as the page tells."""
    return str(page.page.locator(".jp-NotebookPanel").get_attribute("data-kf-engines"))


def test_a_number_starts_engines_on_which_every_cell_runs(
    notebook: Page, pictures: Callable[[str, bytes], Path]
) -> None:
    assert engines(notebook) == ""
    choose(notebook, "n:2")
    assert engines(notebook) == "2"
    notebook.run_cell("a = 10 * engine_id")
    shown = notebook.run_cell("print('value', a)")
    assert "[0] value 0" in shown
    assert "[1] value 10" in shown
    notebook.page.locator(".kf-outputs").get_by_role("tab", name="Engine 1").wait_for()
    notebook.picture(pictures, "cells")
    assert "2 engines" in notebook.run_cell("%fleet status")  # its own magics run here

    choose(notebook, "")
    assert engines(notebook) == ""
    assert notebook.run_cell("'a' in globals()").strip().endswith("False")
    choose(notebook, "n:2")
    assert "[1] value 10" in notebook.run_cell("print('value', a)")  # they are the same engines

    # the kernel is restarted: the engines are new, and the mode is on again
    notebook.page.evaluate(
        "jupyterapp.shell.currentWidget.sessionContext.restartKernel().then(() => 1)"
    )
    notebook.page.wait_for_function(
        "document.querySelector('.jp-NotebookPanel').dataset.kfEngines === '2'", timeout=30_000
    )
    assert "[0-1] value False" in notebook.run_cell("print('value', 'a' in globals())")


def test_a_fleet_is_chosen_and_a_restart_of_the_kernel_leaves_its_work_alone(
    notebook: Page,
) -> None:
    choose(notebook, f"f:{NAME}")
    assert engines(notebook) == "3"
    notebook.run_cell("b = 7 + engine_id")
    notebook.run_cell("%%px --noblock\nimport time\nfor i in range(20): time.sleep(0.1)\nend = b")
    notebook.page.evaluate(
        "jupyterapp.shell.currentWidget.sessionContext.restartKernel().then(() => 1)"
    )
    notebook.page.wait_for_function(
        "document.querySelector('.jp-NotebookPanel').dataset.kfEngines === '3'", timeout=30_000
    )
    assert "[2] b 9 9" in notebook.run_cell("print('b', b, end)")  # after what had been begun
    choose(notebook, "")


def test_a_magic_that_switches_the_mode_is_seen_in_the_toolbar(notebook: Page) -> None:
    notebook.run_cell(f"%load_ext kernelfleet\n%fleet connect {NAME}\n%autopx")
    notebook.page.wait_for_function(
        "document.querySelector('.jp-NotebookPanel').dataset.kfEngines === '3'"
    )
    assert choice(notebook).input_value() == f"f:{NAME}"
    notebook.run_cell("%autopx")
    notebook.page.wait_for_function(
        "document.querySelector('.jp-NotebookPanel').dataset.kfEngines === ''"
    )


def test_what_cannot_be_chosen_is_told_and_the_cells_run_as_before(notebook: Page) -> None:
    notebook.server.run("-m", "kernelfleet.cli", "start", "ending", "-n", "1", "--daemonize")
    notebook.open_panel()
    notebook.card("ending").wait_for()
    notebook.command("filebrowser:activate")
    notebook.server.run("-m", "kernelfleet.cli", "stop", "ending")
    # (as if it had ended after the list was opened)
    notebook.page.evaluate(
        """() => {
            const select = document.querySelector('[data-kf-engines-choice]');
            select.add(new Option('ending', 'f:ending'));
            select.value = 'f:ending';
            select.dispatchEvent(new Event('change'));
        }"""
    )
    notebook.page.get_by_text("Engines of this notebook:").first.wait_for()
    assert choice(notebook).input_value() == ""
    assert "mine!" in notebook.run_cell("'mine' + '!'")


@pytest.mark.parametrize(
    "end",
    [
        "panel.dispose()",
        "await panel.sessionContext.changeKernel({name: 'python3'})",
    ],
    ids=["the notebook is closed", "its kernel is changed"],
)
def test_a_choice_that_nobody_waits_for_any_more_is_not_told_as_a_failure(
    notebook: Page, end: str
) -> None:
    choice(notebook).select_option("n:2")
    told = notebook.page.evaluate(
        f"""async () => {{
            const {{ Notification }} = await import('{MODULE}base/lab.js');
            const panel = jupyterapp.shell.currentWidget;
            {end};
            await new Promise(resolve => setTimeout(resolve)); // (all that was awaited has gone on)
            return Notification.manager.notifications.map(each => each.message);
        }}"""
    )
    assert told == []
