"""Fifty engines that print and change state all the time: what looking on costs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.browser.pages import Page
from tests.browser.servers import Server
from tests.browser.test_panel import FRAMES

pytestmark = pytest.mark.long

N = 50

#: Every engine prints ten times a second, and is idle and busy about once a second.
WORK = """
import itertools, os
from kernelfleet import MultiEngineClient
mec = MultiEngineClient("many")
mec.execute("import time")
for i in itertools.count():
    if os.getppid() == 1:
        break
    mec.execute(f"for i in range(8): print({i}, i); time.sleep(0.1)", targets="all")
"""


@pytest.fixture
def working(lab_server: Server) -> Iterator[Server]:
    lab_server.run("-m", "kernelfleet.cli", "start", "many", "-n", str(N), "--daemonize")
    command = [lab_server.python, "-c", WORK]
    worker = subprocess.Popen(command, env=lab_server.environment, cwd=lab_server.root)
    yield lab_server
    worker.kill()
    worker.wait()
    lab_server.run("-m", "kernelfleet.cli", "stop", "many")


def share_of_a_core(process: Any, seconds: float, page: Page) -> float:
    """Which part of a processor the server has used meanwhile."""
    before, began = process.cpu_times(), time.monotonic()
    page.page.wait_for_timeout(1000 * seconds)
    after, elapsed = process.cpu_times(), time.monotonic() - began
    return float((after.user + after.system - before.user - before.system) / elapsed)


def test_looking_on_costs_little_and_not_looking_nothing(
    working: Server, new_page: Callable[..., Page]
) -> None:
    page = new_page(working)
    heard: list[Any] = []
    page.page.on("websocket", lambda socket: _listen(socket, heard))
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.open("lab")
    page.open_panel()
    page.engine("many", N - 1).wait_for(state="attached", timeout=60_000)
    busy = "[data-kf-fleet=many] [data-kf-engine='0'][data-kf-state=busy]"
    page.page.locator(busy).wait_for()
    process = psutil.Process(working.process.pid)
    page.page.wait_for_timeout(3000)
    heard.clear()
    looking = share_of_a_core(process, 15, page)
    messages, size = len(heard), sum(map(len, heard))
    frames = page.page.evaluate(f"({FRAMES})(false)")

    page.command("filebrowser:activate")
    page.page.wait_for_timeout(3000)
    heard.clear()
    asked.clear()
    away = share_of_a_core(process, 10, page)
    ours = [url for url in asked if "kernelfleet" in url]
    print(
        f"{N} engines: looking on {looking:.1%} of a core, {messages / 15:.1f} messages and "
        f"{size / 15 / 1024:.1f} KiB a second, frames {frames}; away {away:.1%}"
    )
    assert looking < 0.10
    assert messages / 15 < 2.5
    assert frames["median"] < 40
    assert (heard, ours) == ([], [])
    assert away < 0.02


def _listen(socket: Any, heard: list[Any]) -> None:
    def note(frame: Any) -> None:
        heard.append(frame)

    if "kernelfleet" in socket.url:
        socket.on("framereceived", note)
