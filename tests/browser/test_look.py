"""How it looks: in every theme text can be read, and the pictures of the documentation are true.

``KERNELFLEET_PICTURES=docs pytest -m slow tests/browser`` makes those of docs/pictures anew.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.fakes import FakeServer, engine, span
from tests.browser.pages import Page
from tests.browser.servers import Server

#: The contrast of each text with what is behind it, as WCAG 2 has it; 4.5 is its level AA.
CONTRASTS = """() => {
    const number = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => {
        const part = [r, g, b].map(
            v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
        );
        return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
    };
    const ground = node => {
        for (; node; node = node.parentElement) {
            const colour = number(getComputedStyle(node).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.9) return colour;
        }
        return [255, 255, 255];
    };
    const found = {};
    for (const node of document.querySelectorAll('#kernelfleet-panel *, .kf-timeline-head *')) {
        const own = [...node.childNodes].some(each => each.nodeType === 3 && each.data.trim());
        if (!own || !node.getClientRects().length || node.closest('[aria-hidden]')) continue;
        const pair = [light(number(getComputedStyle(node).color)), light(ground(node))];
        const what = `${node.className || node.tagName} ${node.textContent.slice(0, 20)}`;
        found[what] = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    }
    return found;
}"""

#: The last one is that of the other tests: the server remembers what was chosen.
THEMES = ("JupyterLab Dark", "JupyterLab Dark High Contrast", "JupyterLab Light")


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_can_be_read(
    theme: str,
    new_page: Callable[..., Page],
    lab_server: Server,
    pictures: Callable[[str, bytes], Path],
) -> None:
    page = new_page(lab_server)
    fake = FakeServer(page.page)
    rows = [
        engine(i, state=state, executed=i)
        for i, state in enumerate(("idle", "busy", "dead", "starting"))
    ]
    rows[1].update(
        running="fit(model, part)", running_since=time.time() - 200, queue=3, cpu_percent=99
    )
    owner = {"kind": "notebook", "pid": 5, "host": "here", "path": "sweeps/sweep.ipynb"}
    fake.put("sweep", rows, embedded=True, owner=owner)
    problem = {
        "message": "fleet 'gone' has not answered for 4 s",
        "reason": "TimeoutError",
        "remedy": "Wait, or stop the fleet.",
    }
    fake.put("gone", [engine(0)], state="unreachable", problem=problem)
    page.open("lab")
    # (A theme that is changed while JupyterLab 4.6 shows its splash removes that twice.)
    page.page.locator("#jupyterlab-splash").wait_for(state="detached")
    page.page.evaluate(
        "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})", theme
    )
    page.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=theme)
    page.open_panel()
    page.engine("sweep", 1).wait_for()
    page.do("timeline", "sweep")
    now = time.time()
    numbers = itertools.count(1)
    calls = {"load(part)": 27, "fit(model, part)": 21, "score(model)": 14, "fit(model, rest)": 8}
    done = [
        span(next(numbers), e, call, now - start + e / 5, 1.5 + (e * 7 + start) % 3)
        for call, start in calls.items()
        for e in range(4)
    ]
    done[9].update(outcome="error", error="ValueError")
    fake.tell({"sweep": [*done, span(0, 1, "fit(model, part)", now - 3, 3, outcome="running")]})
    page.page.locator(".kf-timeline-words").get_by_text("17 bars").wait_for()
    contrasts = page.page.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert {what: c for what, c in contrasts.items() if c < 4.5} == {}
    if theme == "JupyterLab Dark":
        page.picture(pictures, "dark")
