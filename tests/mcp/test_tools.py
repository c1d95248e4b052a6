"""The tools, driven by the SDK's own client: within the process, and as a program would."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

mcp = pytest.importorskip("mcp", reason="kernelfleet[mcp] is not installed")

from kernelfleet.mcp.fleets import Fleets  # noqa: E402
from kernelfleet.mcp.tools import make_server  # noqa: E402
from tests.fleets import eventually  # noqa: E402

pytestmark = pytest.mark.slow

COMMAND = str(Path(sys.executable).parent / "kernelfleet")
PLOT = """
import matplotlib; matplotlib.use("module://matplotlib_inline.backend_inline")
import matplotlib.pyplot as plt
plt.plot([1, 2]); plt.show()
"""


class Agent:
    """A program that uses the tools."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.content: list[Any] = []

    async def call(self, tool: str, *, failing: bool = False, **arguments: Any) -> str:
        """Use a tool; returns its text."""
        result = await self.session.call_tool(tool, arguments)
        self.content = result.content
        text = "\n".join(each.text for each in result.content if each.type == "text")
        assert bool(result.is_error) is failing, text
        return text


@contextlib.asynccontextmanager
async def by_stdio() -> AsyncIterator[Agent]:
    from mcp.client.stdio import stdio_client

    program = mcp.StdioServerParameters(command=COMMAND, args=["mcp"], env=dict(os.environ))
    async with stdio_client(program) as (read, write), mcp.ClientSession(read, write) as session:
        await session.initialize()
        yield Agent(session)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_every_tool_is_described_for_its_caller() -> None:
    with contextlib.closing(Fleets()) as fleets:
        tools = asyncio.run(make_server(fleets).list_tools())
    assert {each.name for each in tools} >= {"list_fleets", "start_fleet", "run_cell", "peek"}
    for tool in tools:
        assert tool.description
        for name, field in tool.input_schema["properties"].items():
            assert field.get("description"), f"{tool.name}: {name}"


def test_an_agents_day(home: Path) -> None:
    async def day() -> None:
        async with by_stdio() as agent:
            call = agent.call
            assert "start_fleet(n=4) starts one" in await call("list_fleets")
            assert "start_fleet" in await call("run_cell", code="1", failing=True)
            refused = await call("start_fleet", n=3, name="mine", failing=True)
            assert "start_fleet has no argument 'name'; it has n" in refused
            assert "No fleet is running" in await call("list_fleets")
            assert "engines [0-2]" in await call("start_fleet", n=3)
            assert "ends with this server" in await call("list_fleets")
            # variables stay; identical outputs are said once
            await call("run_cell", code="a = engine_id")
            shown = await call("run_cell", code="print('hi'); a")
            assert shown == "[0-2] hi\n[0] Out[2]: 0\n[1] Out[2]: 1\n[2] Out[2]: 2"
            # an error is an answer
            assert "ZeroDivisionError" in await call("run_cell", code="1 / 0", engines=[0])
            # pictures come as pictures
            assert "(picture 1 below)" in await call("run_cell", code=PLOT, engines=[0])
            assert [each.type for each in agent.content] == ["text", "image"]
            assert agent.content[1].mime_type == "image/png"
            # long output is read on
            await call("run_cell", code="for i in range(999): print(i)", engines=[1], limit=100)
            first = agent.content[0].text
            found = re.search(r'text_id="([^"]+)", offset=(\d+)', first)
            assert found is not None
            rest = await call("read_text", text_id=found[1], offset=int(found[2]), limit=20)
            assert rest.startswith("[1] ")
            assert "no text 'x'" in await call("read_text", text_id="x", offset=0, failing=True)
            # a long cell: looked into, interrupted, read
            endless = "import time\ni = 7\nprint('begun')\nwhile True: time.sleep(0.01)"
            running = await call("run_cell", code=endless, engines=[2], timeout=1)
            assert running.startswith("[2] begun\n[still running after 1 s")
            assert await call("peek", names=["i"], engines=[2]) == "[2] 7"
            assert "busy" in await call("fleet_state")
            assert await call("interrupt", engines=[2]) == "[2] interrupt: done"
            result_id = re.search(r'result_id="([^"]+)"', running)
            assert result_id is not None
            ended = await call("read_result", result_id=result_id[1], timeout=20)
            assert ended.startswith("[2] begun")
            assert "KeyboardInterrupt" in ended
            assert "execute" in await call("timeline", last=60)
            # a dead engine is an answer
            died = await call("run_cell", code="import os; os._exit(3)", engines=[1])
            assert "EngineDied: engine 1 died: its process ended with exit code 3" in died
            assert await call("restart", engines=[1]) == "[1] restart: done"
            assert await call("run_cell", code="engine_id", engines=[1]) == "[1] Out[1]: 1"
            assert "engine 1 started" in await call("read_log", engine=1)
            assert "the engines are 0-2" in await call(
                "run_cell", code="1", engines=[9], failing=True
            )
            assert "NameError" in await call("peek", names=["nowhere"], engines=[0])
            name = (await call("list_fleets")).partition(":")[0]
            assert "has ended" in await call("stop_fleet", fleet=name)
            await call("stop_fleet", fleet=name, failing=True)

    asyncio.run(day())


def test_nothing_is_left_when_the_program_is_gone(home: Path) -> None:
    async def begin() -> list[psutil.Process]:
        async with by_stdio() as agent:
            await agent.call("start_fleet", n=2)
            await agent.call("run_cell", code="while True: pass", timeout=0)
            return [each for each in own_children() if each not in before]

    own_children = functools.partial(psutil.Process().children, recursive=True)
    before = own_children()
    started = asyncio.run(begin())
    assert len(started) >= 4  # the server, the fork server, two engines
    eventually(lambda: not any(map(psutil.Process.is_running, started)))


@pytest.fixture
def over_http(home: Path) -> Iterator[tuple[str, str]]:
    """The address and the token of a server over HTTP."""
    server = subprocess.Popen([COMMAND, "mcp", "--http", "0"], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    address = server.stderr.readline().rpartition(" ")[2].strip()
    token = server.stderr.readline().rpartition(" ")[2].strip()
    yield address, token
    server.send_signal(signal.SIGTERM)
    _, complaints = server.communicate(timeout=20)
    assert complaints == ""


def test_over_http_with_the_token_and_not_without(over_http: tuple[str, str]) -> None:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    address, token = over_http
    assert address.startswith("http://127.0.0.1:")
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert httpx2.post(address, json=message).status_code == 401

    async def use() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            streamable_http_client(address, http_client=http) as streams,
            mcp.ClientSession(streams[0], streams[1]) as session,
        ):
            await session.initialize()
            agent = Agent(session)
            await agent.call("start_fleet", n=1)
            assert await agent.call("run_cell", code="6 * 7") == "[0] Out[1]: 42"

    asyncio.run(use())
