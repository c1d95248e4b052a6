"""The live timeline, and the modules without a page that it and the panel are made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.fakes import FakeServer, engine, span
from tests.browser.pages import Page
from tests.browser.servers import Server

MODULE = "/lab/extensions/kernelfleet/static/"


def call(page: Page, module: str, expression: str) -> Any:
    """What an expression gives, in which ``m`` is a module of the extension."""
    return page.page.evaluate(
        f"async () => {{ const m = await import('{MODULE}{module}'); return {expression}; }}"
    )


def test_words_and_versions_and_bars_are_as_they_should_be(lab: Page) -> None:
    durations = "[0.04, 9.96, 59.7, 187, 7500, 100000].map(m.duration)"
    assert call(lab, "base/words.js", durations) == [
        "0.0 s",
        "10 s",
        "1:00",
        "3:07",
        "2 h 05",
        "1 d 3 h",
    ]
    assert call(lab, "base/words.js", "[61 * 2**20, 1536 * 2**20].map(m.bytes)") == [
        "61 MiB",
        "1.5 GiB",
    ]
    assert (
        call(lab, "base/words.js", "m.countsText({dead: 1, idle: 2, busy: 3, starting: 0})")
        == "3 busy, 2 idle, 1 dead"
    )
    assert (
        call(
            lab,
            "base/shared.js",
            "['9.1.0', '10.0.0', '10.0.0-beta.2', '2.0'].sort(m.compareVersions)[0]",
        )
        == "2.0"
    )
    loaded = "m.chooseVersion({'9.1.0': {loaded: 1, a: 1}, '10.0.0': {a: 2}}).a"
    assert call(lab, "base/shared.js", loaded) == 1  # tokens are to be those that JupyterLab uses
    assert (
        call(lab, "base/shared.js", "m.chooseVersion({'9.1.0': {a: 1}, '10.0.0': {a: 2}}).a") == 2
    )
    assert call(lab, "outputs/bundle.js", "m.idsText([5, 0, 2, 1, 7])") == "0-2,5,7"

    many = (
        "Array.from({length: 1000}, (_, i) => "
        "({started: i / 100, ended: i / 100 + 0.009, call: 'a', ok: i !== 500}))"
    )
    drawn = f"m.bars({many}, {{from: 0, to: 10, width: 200, now: 10}})"
    told = f"{drawn}.map(b => [b.x, b.width, b.many, b.span.ok])"
    bars = call(lab, "timeline/geometry.js", told)
    assert [bar[3] for bar in bars] == [True, False, True]  # what failed is not lost among others
    assert sum(bar[2] for bar in bars) == 1000
    worked = "[{started: 0, ended: 5}, {started: 8, ended: null}]"
    share = f"m.busyShare({worked}, {{from: 0, to: 10, now: 10}})"
    assert call(lab, "timeline/geometry.js", share) == pytest.approx(0.7)
    zoom = "m.zoomed({from: 0, to: 10}, 0.5, 8)"
    assert call(lab, "timeline/geometry.js", zoom) == {"from": 4, "to": 9}
    marks = "m.marks(100, 130, 900)"
    assert call(lab, "timeline/geometry.js", marks) == {
        "step": 5,
        "times": [100, 105, 110, 115, 120, 125, 130],
    }


def test_a_lane_per_engine_shows_what_it_does_and_moves(
    new_page: Callable[..., Page], lab_server: Server, pictures: Callable[[str, bytes], Path]
) -> None:
    page = new_page(lab_server)
    fake = FakeServer(page.page)
    fake.put("sim", [engine(i) for i in range(4)])
    page.open("lab")
    page.open_panel()
    page.engine("sim", 0).wait_for()
    page.do("timeline", "sim")
    view = page.page.locator('[data-kf-timeline="sim"]')
    view.wait_for()
    page.page.wait_for_function(
        "document.querySelector('.kf-timeline-words')?.textContent.includes('0 bars')"
    )
    assert fake.looks[-1] == {"type": "look", "at": "engines", "timeline": ["sim"]}
    now = time.time()
    spans = [
        span(1 + 10 * e + i, e, f"step({i})", now - 24 + 6 * i, 4 + e / 4)
        for e in range(4)
        for i in range(3)
    ]
    spans[7].update(outcome="error", error="ValueError")  # step(1) on engine 2
    spans.append(span(0, 3, "step(3)", now - 3, 3, outcome="running"))
    fake.tell({"sim": spans})
    lanes = view.get_by_role("img")
    page.page.wait_for_function(
        "document.querySelector('.kf-timeline-words').textContent.includes('13 bars')"
    )
    label = lanes.get_attribute("aria-label")
    assert "engine 0 4" in label  # 12 of 30 seconds, and a little less as time goes by
    assert "engine 3 5" in label

    def picture() -> bytes:
        return bytes(view.locator("canvas").screenshot())

    before = picture()
    page.page.wait_for_timeout(500)
    assert picture() != before  # it moves

    # All, then a pointer on the bar that failed
    lanes.focus()
    page.page.keyboard.press("f")
    assert view.get_by_role("button", name="Live").get_attribute("aria-pressed") == "false"
    page.page.wait_for_timeout(300)
    still = picture()
    page.page.wait_for_timeout(500)
    assert picture() == still
    box = view.locator("canvas").bounding_box()
    tip = view.locator(".kf-timeline-tip")
    shown = set()
    for x in range(100, int(box["width"]), 20):
        page.page.mouse.move(box["x"] + x, box["y"] + 22 + 2 * 22 + 11)
        if tip.is_visible():
            shown.add(tip.inner_text())
    assert any("step(1)" in text and "failed after 4.5 s (ValueError)" in text for text in shown), (
        shown
    )
    assert any("step(0)" in text and "Engine 2 · 4.5 s" in text for text in shown)

    # zoom and back
    words = view.locator(".kf-timeline-words")
    length = words.inner_text().partition(",")[0]
    page.page.keyboard.press("+")
    page.page.wait_for_timeout(700)
    assert words.inner_text().partition(",")[0] != length
    page.page.keyboard.press("-")
    page.page.keyboard.press("l")
    assert view.get_by_role("button", name="Live").get_attribute("aria-pressed") == "true"

    # without the timeline, spans are not asked for any more
    page.command("application:close")
    page.page.wait_for_function("!document.querySelector('.kf-timeline')")
    deadline = time.monotonic() + 5
    while fake.looks[-1]["timeline"] and time.monotonic() < deadline:
        page.page.wait_for_timeout(50)
    assert fake.looks[-1]["timeline"] == []
