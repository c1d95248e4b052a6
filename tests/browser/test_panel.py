"""The panel "Fleets" with fleets that are not there: its states, its rows, how it moves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.browser.fakes import FakeServer, engine
from tests.browser.pages import Page
from tests.browser.servers import Server


@pytest.fixture
def faked(new_page: Callable[..., Page], lab_server: Server) -> tuple[Page, FakeServer]:
    """A page that is not opened yet, and who answers it."""
    page = new_page(lab_server)
    return page, FakeServer(page.page)


def visible(page: Page, text: str) -> None:
    page.panel.get_by_text(text).first.wait_for(state="visible")


def test_without_fleets_it_says_how_to_start_one(faked: tuple[Page, FakeServer]) -> None:
    page, fake = faked
    page.open("lab")
    page.open_panel()
    visible(page, "No fleet is running.")
    page.panel.get_by_role("button", name="New fleet", exact=True).last.click()
    form = page.page.locator(".jp-Dialog .kf-form")
    form.get_by_text("Known: dask, ssh").wait_for()
    form.locator("[name=cluster]").fill("ssh:other")
    page.accept()
    page.page.wait_for_function("!document.querySelector('.jp-Dialog')")
    (body,) = fake.bodies
    assert body == {"name": "fleet", "n": 2, "kernel": "python3", "cluster": "ssh:other"}


def test_a_server_without_the_extension_is_named_with_the_remedy(
    faked: tuple[Page, FakeServer],
) -> None:
    page, fake = faked
    fake.problem = 404, {}
    page.page.route_web_socket("**/kernelfleet/api/watch*", lambda socket: socket.close())
    page.open("lab")
    page.open_panel()
    visible(page, "The server part of kernelfleet does not answer.")
    visible(page, "jupyter server extension list")
    page.errors[:] = [error for error in page.errors if "404" not in error]  # the browser's own


def test_rows_say_what_engines_do(faked: tuple[Page, FakeServer]) -> None:
    page, fake = faked
    busy = engine(
        1, state="busy", running="import time\ntime.sleep(10)", running_since=time.time() - 7210,
        queue=2, cpu_percent=100, memory_bytes=200 << 20,
    )  # fmt: skip
    fake.put("sim", [engine(0, executed=7), busy, engine(2, state="dead")])
    owner = {"kind": "notebook", "pid": 5, "host": "here", "path": "sweeps/sweep.ipynb"}
    engines = [engine(0, node="one"), engine(1, node="two")]
    fake.put("gpu", engines, nodes=2, embedded=True, owner=owner)
    page.open("lab")
    page.open_panel()
    row = page.engine("sim", 1)
    row.wait_for()
    assert row.get_attribute("data-kf-state") == "busy"
    text = row.inner_text()
    assert all(
        words in text
        for words in ("busy", "2 waiting", "200 MiB", "100 %", "import time ⏎ time.sleep(10)")
    )
    assert row.locator(".kf-elapsed").inner_text().startswith("2 h 0")
    assert row.get_attribute("aria-label").startswith("Engine 1, busy, import time")
    assert "7 done" in page.engine("sim", 0).inner_text()
    assert "dead" in page.engine("sim", 2).inner_text()
    facts = page.card("sim").locator(".kf-facts").inner_text()
    assert facts.startswith("3 engines: 1 busy, 1 idle, 1 dead · up ")
    facts = page.card("gpu").locator(".kf-facts").inner_text()
    assert "of notebook sweep.ipynb" in facts
    assert "2 machines" in facts
    assert "two" in page.engine("gpu", 1).inner_text()
    # (widths are fractions of pixels, and are rounded up here)
    clipped = """() => [...document.querySelectorAll('.kf-engine-head')]
        .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.innerText)"""
    assert page.page.evaluate(clipped) == []


def test_what_a_server_says_is_text_and_no_html(faked: tuple[Page, FakeServer]) -> None:
    page, fake = faked
    evil = "<img src=x onerror=\"document.title = 'gotcha'\">"
    fake.put("sim", [engine(0, state="busy", running=evil, running_since=time.time())])
    problem = {"message": evil, "reason": "X", "remedy": evil}
    fake.put("bad", [], state="failed", problem=problem)
    page.open("lab")
    page.open_panel()
    visible(page, evil)
    assert page.panel.locator("img").count() == 0


def test_the_filter_finds_fleets_by_what_their_engines_run(faked: tuple[Page, FakeServer]) -> None:
    page, fake = faked
    fake.put("first", [engine(0, state="busy", running="simulate(7)", running_since=time.time())])
    fake.put("second", [engine(0)])
    page.open("lab")
    page.open_panel()
    page.card("second").wait_for()
    page.panel.get_by_role("searchbox").fill("SIMULATE")
    page.card("second").wait_for(state="detached")
    assert page.card("first").count() == 1
    page.panel.get_by_role("searchbox").fill("nothing like it")
    visible(page, "No fleet has this")


def test_the_keyboard_reaches_every_engine_and_its_buttons(faked: tuple[Page, FakeServer]) -> None:
    page, fake = faked
    fake.put("sim", [engine(i) for i in range(5)])
    page.open("lab")
    page.open_panel()
    page.page.locator(".jp-Launcher").wait_for()  # it takes the focus when it comes
    page.engine("sim", 0).focus()
    focused = "document.activeElement.getAttribute('aria-label')"
    for _ in range(3):
        page.page.keyboard.press("ArrowDown")
    assert page.page.evaluate(focused).startswith("Engine 3, idle")
    page.page.keyboard.press("Tab")
    assert page.page.evaluate(focused) == "Interrupt engine 3"
    page.page.keyboard.press("Enter")
    page.page.wait_for_function("!document.activeElement.hasAttribute('aria-disabled')")
    assert ("POST", "fleets/sim/interrupt") in fake.asked
    page.page.keyboard.press("End")
    assert page.page.evaluate(focused).startswith("Engine 4")
    stops = page.panel.locator(".kf-engine[tabindex='0']").count()
    assert stops == 1  # of five rows; otherwise Tab would not get past hundreds of them


def test_while_nobody_looks_nothing_is_sent(faked: tuple[Page, FakeServer]) -> None:
    page, fake = faked
    fake.put("sim", [engine(0)])
    page.open("lab")
    page.open_panel()
    page.engine("sim", 0).wait_for()
    assert len(fake.sockets) == 1
    page.command("filebrowser:activate")
    deadline = time.monotonic() + 10
    while fake.sockets and time.monotonic() < deadline:
        page.page.wait_for_timeout(50)
    assert fake.sockets == []
    fake.requests.clear()
    page.page.wait_for_timeout(3000)
    assert fake.requests == []
    page.open_panel()
    page.engine("sim", 0).wait_for()
    assert len(fake.sockets) == 1


def test_a_connection_that_broke_is_made_again(faked: tuple[Page, FakeServer]) -> None:
    page, fake = faked
    fake.put("sim", [engine(0)])
    page.open("lab")
    page.open_panel()
    page.engine("sim", 0).wait_for()
    (socket,) = fake.sockets
    socket.close()
    fake.put("sim", [engine(0), engine(1)])
    page.engine("sim", 1).wait_for()
    deadline = time.monotonic() + 10
    while not fake.sockets and time.monotonic() < deadline:
        page.page.wait_for_timeout(50)
    assert len(fake.sockets) == 1
    page.errors[:] = [error for error in page.errors if "WebSocket" not in error]


FRAMES = """async scroll => {
    const list = document.querySelector('.kf-cards');
    const frames = [];
    let last = performance.now();
    const until = last + 4000;
    while (last < until) {
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
        if (scroll) {
            list.scrollTop = (list.scrollTop + 40) % (list.scrollHeight - list.clientHeight);
        }
    }
    frames.sort((a, b) => a - b);
    const at = share => frames[Math.floor(share * (frames.length - 1))];
    return { count: frames.length, median: at(0.5), p95: at(0.95), worst: at(1) };
}"""


def test_two_hundred_engines_scroll_smoothly_while_all_change(
    faked: tuple[Page, FakeServer], record_property: Callable[[str, object], None]
) -> None:
    page, fake = faked
    fake.put("large", [engine(i) for i in range(200)])
    page.open("lab")
    page.open_panel()
    page.engine("large", 199).wait_for(state="attached")
    page.page.evaluate("() => void (window.measured = null)")
    page.page.evaluate(f"() => void ({FRAMES})(true).then(found => window.measured = found)")
    turn = 0
    while page.page.evaluate("window.measured") is None:
        turn += 1
        rows = [
            engine(
                i, state="busy" if (i + turn) % 3 else "idle", executed=turn * 10 + i,
                running=f"step({turn}, {i})" if (i + turn) % 3 else None,
                running_since=time.time(), memory_bytes=(60 + (i + turn) % 50) << 20,
                cpu_percent=(i * turn) % 100,
            )
            for i in range(200)
        ]  # fmt: skip
        fake.put("large", rows)
        fake.tell()
        page.page.wait_for_timeout(500)
    found = page.page.evaluate("window.measured")
    record_property("frames", found)
    print("200 engines:", found)
    assert found["median"] < 40, found  # milliseconds; without a graphics card, on a shared machine
    assert found["p95"] < 250, found
