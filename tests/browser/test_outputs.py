"""The renderer of what several engines have put out: collapsed, with a switch to tabs."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

from kernelfleet.display.bundle import of_engines
from kernelfleet.display.layout import arrange
from tests.browser.pages import Page
from tests.browser.servers import Server, notebook_with

MIME = "application/vnd.kernelfleet.engines+json"


def png() -> str:
    """A red point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\x00\xff\x00\x00")
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
    return base64.b64encode(content).decode()


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


GOTCHA = "document.title = 'gotcha'"
EVIL = f'<img src="data:," onerror="{GOTCHA}"><script>{GOTCHA}</script>'

POINT = {"image/png": png(), "text/plain": "a point"}
TRACEBACK = ["line 1", "ValueError: no"]

BUNDLE = {
    "version": 1,
    "engines": [
        {
            "engine": 0,
            "items": [
                stream("hello\n\x1b[31mred\x1b[0m\n"),
                {"output_type": "display_data", "data": POINT},
                {"output_type": "display_data", "data": {"text/html": f"<b>bold</b>{EVIL}"}},
            ],
        },
        {"engine": 1, "items": [stream("hello\n"), stream(EVIL)]},
        {
            "engine": 4,
            "items": [
                {"output_type": "error", "ename": "ValueError", "evalue": "no",
                 "traceback": TRACEBACK}
            ],
        },
    ],
    "collapsed": [
        {"lines": ["[0-1] hello", "[1] " + EVIL]},
        {"pictures": [{"label": "[0]", "engine": 0, "item": 1}]},
        {"engine": 0, "item": 2},
    ],
}  # fmt: skip


def saved(server: Server, name: str, bundle: Any) -> None:
    """A notebook that nobody has signed, so that it is not trusted."""
    notebook = notebook_with("1")
    data = {MIME: bundle, "text/html": "<p>the fallback</p>", "text/plain": "the text"}
    notebook["cells"][0]["outputs"] = [
        {"output_type": "display_data", "data": data, "metadata": {}}
    ]
    (server.root / name).write_text(json.dumps(notebook))


def test_outputs_are_collapsed_with_a_tab_per_engine_also_where_nobody_trusts_them(
    lab_server: Server, new_page: Callable[..., Page]
) -> None:
    saved(lab_server, "saved.ipynb", BUNDLE)
    page = new_page(lab_server)
    page.open("lab")
    page.open_notebook("saved.ipynb")
    output = page.page.locator(".kf-outputs")
    output.wait_for()
    text = output.inner_text()
    assert "All [0-1,4]" in text
    assert "[0-1] hello" in text
    assert EVIL in text  # as text
    assert "the fallback" not in text
    assert output.locator("figcaption").inner_text() == "[0]"
    assert output.locator("figure img").evaluate("image => image.naturalWidth") == 1
    assert output.locator(".kf-html b").inner_text() == "bold"
    assert output.locator("script").count() == 0

    output.get_by_role("tab", name="Engine 0").click()
    assert output.locator(".ansi-red-fg").inner_text() == "red"
    assert output.locator("img[alt='a point']").count() == 1
    page.page.keyboard.press("ArrowRight")
    assert output.get_by_role("tab", selected=True).inner_text() == "Engine 1"
    assert EVIL in output.inner_text()
    page.page.keyboard.press("End")
    assert output.get_by_role("tab", selected=True).inner_text() == "Engine 4 (failed)"
    assert "ValueError: no" in output.get_by_role("tabpanel").inner_text()
    page.page.keyboard.press("ArrowRight")
    assert output.get_by_role("tab", selected=True).inner_text() == "All [0-1,4]"
    assert page.page.title() != "gotcha"


def test_a_bundle_of_a_newer_version_says_so(
    lab_server: Server, new_page: Callable[..., Page]
) -> None:
    saved(lab_server, "newer.ipynb", {"version": 2, "cells": []})
    page = new_page(lab_server)
    page.open("lab")
    page.open_notebook("newer.ipynb")
    page.page.get_by_text("written by a newer kernelfleet").wait_for()
    saved(lab_server, "broken.ipynb", {"version": 1, "engines": [None, {"items": 3}]})
    page.open_notebook("broken.ipynb")
    page.page.get_by_text("These outputs of engines cannot be read.").wait_for()


def test_what_engines_have_put_out_is_shown_with_pictures_that_are_stored_once(
    lab_server: Server, new_page: Callable[..., Page]
) -> None:
    shown = {"output_type": "display_data", "data": POINT, "metadata": {}}
    outputs = [(0, [stream("of 0\n"), shown]), (1, [stream("of 1\n"), shown])]
    data = of_engines(outputs, arrange(outputs))
    assert data is not None
    assert json.dumps(data).count(POINT["image/png"]) == 1
    notebook = notebook_with("1")
    display: dict[str, Any] = {"output_type": "display_data", "data": data, "metadata": {}}
    notebook["cells"][0]["outputs"] = [display]
    (lab_server.root / "once.ipynb").write_text(json.dumps(notebook))
    page = new_page(lab_server)
    page.open("lab")
    page.open_notebook("once.ipynb")
    output = page.page.locator(".kf-outputs")
    output.wait_for()
    assert "[0] of 0\n[1] of 1" in output.inner_text()
    assert output.locator("figcaption").inner_text() == "[0-1]"
    assert output.locator("figure img").evaluate("image => image.naturalWidth") == 1
    output.get_by_role("tab", name="Engine 1").click()
    assert "of 1" in output.get_by_role("tabpanel").inner_text()
    assert output.locator("img[alt='a point']").evaluate("image => image.naturalWidth") == 1

    outputs = [(0, [stream("of 0\n")]), (1, [stream("of 1\n")])]
    display["data"] = of_engines(outputs, arrange(outputs))
    (lab_server.root / "text.ipynb").write_text(json.dumps(notebook))
    page.open_notebook("text.ipynb")
    output = page.page.locator(".lm-Widget:not(.lm-mod-hidden) > * .kf-outputs").last
    output.get_by_role("tab", name="Engine 1").click()
    assert output.get_by_role("tabpanel").inner_text().strip() == "of 1"
