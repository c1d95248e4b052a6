"""The same in Notebook 7, and in the oldest JupyterLab that is supported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import Page
from tests.browser.servers import Server


def has_a_fleet(server: Server) -> Iterator[Server]:
    server.run("-m", "kernelfleet.cli", "start", "seen", "-n", "2", "--daemonize")
    yield server
    server.run("-m", "kernelfleet.cli", "stop", "seen")


@pytest.fixture(scope="module")
def notebook(notebook_server: Server) -> Iterator[Server]:
    yield from has_a_fleet(notebook_server)


@pytest.fixture(scope="module")
def oldest(oldest_server: Server) -> Iterator[Server]:
    yield from has_a_fleet(oldest_server)


def test_the_first_page_of_notebook_7_has_a_tab_with_fleets(
    notebook: Server, new_page: Callable[..., Page], pictures: Callable[[str, bytes], Path]
) -> None:
    page = new_page(notebook)
    page.open("tree")
    page.page.get_by_role("tab", name="Fleets").click()
    page.engine("seen", 1).wait_for()
    page.picture(pictures, "notebook-7")
    page.do("scale", "seen")
    page.page.locator(".jp-Dialog [name=n]").fill("3")
    page.accept()
    page.engine("seen", 2).wait_for()
    page.page.get_by_role("tab", name="Running").click()
    page.page.locator("#jp-running-sessions-tree, #jp-running-sessions").get_by_text(
        "seen", exact=True
    ).first.wait_for()


def test_a_notebook_of_notebook_7_has_the_panel_and_the_choice_of_engines(
    notebook: Server, new_page: Callable[..., Page]
) -> None:
    notebook.write("in-7.ipynb", "")
    page = new_page(notebook)
    page.open("notebooks/in-7.ipynb")
    page.wait_for_kernel()
    page.open_panel()
    page.engine("seen", 1).wait_for()
    choice = page.page.locator("[data-kf-engines-choice]")
    choice.select_option("f:seen")
    page.page.wait_for_function(
        "Number(document.querySelector('.jp-NotebookPanel').dataset.kfEngines) >= 2"
    )
    assert "[1] value 1" in page.run_cell("print('value', engine_id)")
    choice.select_option("")
    page.page.wait_for_function(
        "document.querySelector('.jp-NotebookPanel').dataset.kfEngines === ''"
    )
    page.do("timeline", "seen")
    page.page.locator(".kf-timeline-words").get_by_text("bars").wait_for()
    # (The place of the panel is made, and has a height, after its words are written.)
    page.page.wait_for_function(
        "document.querySelector('.kf-timeline canvas').getBoundingClientRect().height > 100"
    )
    page.do("log", "seen", 1)
    page.page.locator(".kf-log .kf-message, .kf-log pre").first.wait_for()


@pytest.mark.parametrize("what", ["notebook", "console"])
@pytest.mark.parametrize("first", ["tree", "notebooks/first.ipynb"])
def test_an_engine_as_a_notebook_or_console_of_notebook_7_is_a_page_of_its_own(
    notebook: Server, new_page: Callable[..., Page], first: str, what: str
) -> None:
    notebook.write("first.ipynb", "")
    page = new_page(notebook)
    page.open(first)
    page.open_panel()
    page.engine("seen", 1).wait_for()
    connections: list[str] = []
    page.page.on("websocket", lambda socket: connections.append(socket.url))
    with page.page.context.expect_page() as opened:
        page.do(what, "seen", 1)
    other = Page(opened.value, notebook)
    other.page.wait_for_function("window.jupyterapp")
    other.wait_for_kernel()
    if what == "notebook":
        assert "(1, " in other.run_cell("engine_id, n_engines")
    else:
        path = other.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.path")
        other.command("console:inject", path=path, code="engine_id, n_engines")
        other.page.get_by_text("(1, ").wait_for()
    # The kernel is the other page's alone: this one would complain of what it does not know of.
    kernel = other.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
    assert [url for url in connections if kernel in url] == []
    page.errors += other.errors


def test_a_notebook_of_an_engine_that_cannot_be_opened_is_told(
    notebook: Server, new_page: Callable[..., Page]
) -> None:
    page = new_page(notebook)
    page.open("tree")
    page.open_panel()
    page.engine("seen", 0).wait_for()

    def refuse(route: Any) -> None:
        if route.request.method == "POST":
            route.fulfill(status=500, json={"message": "no more sessions"})
        else:
            route.continue_()

    page.page.route("**/api/sessions*", refuse)
    page.do("notebook", "seen", 0)
    page.page.get_by_text("Open engine 0 of seen: no more sessions").first.wait_for()
    assert page.page.context.pages == [page.page]
    page.page.unroute("**/api/sessions*")
    page.errors[:] = [error for error in page.errors if "500" not in error]  # the browser's own

    page.page.evaluate("window.open = () => null")  # as a browser that blocks new pages
    page.do("notebook", "seen", 0)
    page.page.get_by_text("The browser has opened no page for Untitled").first.wait_for()


def test_the_oldest_jupyterlab_has_the_panel_the_timeline_and_the_choice_of_engines(
    oldest: Server, new_page: Callable[..., Page]
) -> None:
    oldest.write("old.ipynb", "")
    page = new_page(oldest)
    page.open("lab")
    page.open_panel()
    page.engine("seen", 1).wait_for()
    page.page.locator("#kernelfleet-status").get_by_text("/ 2 busy").wait_for()
    page.open_notebook("old.ipynb")
    choice = page.page.locator("[data-kf-engines-choice]")
    choice.select_option("f:seen")
    page.page.wait_for_function(
        "document.querySelector('.jp-NotebookPanel').dataset.kfEngines === '2'"
    )
    assert "[1] value 1" in page.run_cell("print('value', engine_id)")
    choice.select_option("")
    page.do("timeline", "seen")
    page.page.locator(".kf-timeline-words").get_by_text("bars").wait_for()
    page.do("log", "seen", 0)
    page.page.locator(".kf-log pre").wait_for()
    page.panel.locator('[data-kf-action="new"]').click()
    form = page.page.locator(".jp-Dialog .kf-form")
    form.locator("[name=name]").fill("no name")
    form.get_by_text("A name is letters, digits").wait_for()
    page.page.keyboard.press("Escape")
    page.do("scale", "seen")
    page.page.locator(".jp-Dialog [name=n]").fill("1")
    page.accept()
    page.engine("seen", 1).wait_for(state="detached")
