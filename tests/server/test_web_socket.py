"""The WebSocket of a real Jupyter Server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.server.conftest import TOKEN, JupyterServer, closed


class Page:
    """A page that looks on."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket

    async def read(self, seconds: float = 20.0) -> Any:
        async with asyncio.timeout(seconds):
            return json.loads(str(await self._socket.read_message()))

    async def hear_of(self, condition: Callable[[Any], bool]) -> Any:
        """The first update that tells this of a fleet."""
        while True:
            update = await self.read()
            for change in update["fleets"]:
                if condition(change):
                    return change

    async def say(self, **message: object) -> None:
        await self._socket.write_message(json.dumps(message))

    async def is_silent(self, seconds: float) -> bool:
        try:
            await self.read(seconds)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def page(jupyter: JupyterServer, **headers: str) -> AsyncIterator[Page]:
    """Looks on; without ``headers`` it has the token."""
    request = HTTPRequest(jupyter.watch_url, headers=headers or {"Authorization": f"token {TOKEN}"})
    socket = await websocket_connect(request)
    try:
        yield Page(socket)
    finally:
        await closed(socket)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    asyncio.run(main())


def in_thread(function: Callable[..., Any], *args: object) -> Awaitable[Any]:
    return asyncio.to_thread(function, *args)


def test_a_page_sees_a_fleet_come_work_and_go(jupyter: JupyterServer) -> None:
    async def work() -> None:
        async with page(jupyter) as looking:
            first = await looking.read()
            assert (first["type"], first["full"]) == ("update", True)
            await in_thread(jupyter.post, "fleets", {"name": "seen", "n": 2})
            came = await looking.hear_of(lambda each: each["name"] == "seen")
            assert came["new"]
            if not came.get("engines"):  # it was heard of while it started
                await looking.hear_of(
                    lambda each: each["name"] == "seen" and len(each.get("engines", ())) == 2
                )
            await in_thread(run_code, "seen", "while True: pass", 1)
            busy = await looking.hear_of(lambda each: each["name"] == "seen" and is_busy(each, 1))
            (row,) = [each for each in busy["engines"] if each["id"] == 1]
            assert "while True" in row["running"]
            assert row["running_since"] <= (await looking.read())["now"]
            await in_thread(jupyter.delete, "fleets/seen")
            while "seen" not in (await looking.read())["gone"]:
                pass

    run(work)


def is_busy(change: Any, engine_id: int) -> bool:
    rows = change.get("engines", ())
    return any(each["id"] == engine_id and each["state"] == "busy" for each in rows)


def run_code(fleet: str, code: str, target: int) -> None:
    from kernelfleet import MultiEngineClient

    with MultiEngineClient(fleet) as mec:
        mec.execute(code, targets=[target], block=False)
        while mec.engines()[target].state != "busy":
            pass


def test_a_page_that_shows_a_timeline_sees_it_move(jupyter: JupyterServer) -> None:
    async def work() -> None:
        await in_thread(jupyter.post, "fleets", {"name": "timed", "n": 2})
        async with page(jupyter) as looking:
            await looking.say(type="look", at="fleets", timeline=["timed"])
            await in_thread(run_code, "timed", "while True: pass", 1)
            now = await looking.hear_of(lambda each: bool(each.get("running")))
            (runs,) = now["running"]
            assert (runs["engine"], runs["operation"], runs["outcome"]) == (1, "execute", "running")
            await in_thread(jupyter.post, "fleets/timed/interrupt")
            then = await looking.hear_of(lambda each: bool(each.get("spans")))
            (ended,) = [each for each in then["spans"] if each["call"] == runs["call"]]
            assert (ended["outcome"], then["running"]) == ("interrupted", [])
        await in_thread(jupyter.delete, "fleets/timed")

    run(work)


def test_a_page_whose_panel_is_hidden_hears_nothing(jupyter: JupyterServer) -> None:
    async def work() -> None:
        async with page(jupyter) as looking:
            await looking.read()
            await looking.say(type="look", at="nothing")
            await in_thread(jupyter.post, "fleets", {"name": "unseen", "n": 1})
            assert await looking.is_silent(1.2)
            await looking.say(type="look", at="fleets")
            everything = await looking.read()
            assert everything["full"]
            assert "engines" not in everything["fleets"][0]
            await in_thread(jupyter.delete, "fleets/unseen")
            while "unseen" not in (await looking.read())["gone"]:
                pass

    run(work)


def test_what_a_page_says_that_makes_no_sense_disturbs_nobody(jupyter: JupyterServer) -> None:
    async def work() -> None:
        async with page(jupyter) as looking:
            await looking.read()
            for said in ({"type": "look", "at": "all"}, {"type": "x"}, {}):
                await looking.say(**said)
            await looking._socket.write_message("[")
            await looking._socket.write_message(b"\xff", binary=True)
            await looking.say(type="look", at="engines")
            assert (await looking.read())["full"]

    run(work)


@pytest.mark.parametrize("token", ["", "of somebody else"])
def test_a_page_without_the_token_is_refused(jupyter: JupyterServer, token: str) -> None:
    async def work() -> None:
        with pytest.raises(HTTPClientError, match="403"):
            async with page(jupyter, Authorization=f"token {token}"):
                pass

    run(work)


def test_a_page_of_another_site_is_refused(jupyter: JupyterServer) -> None:
    cookie = jupyter.cookie()

    async def work() -> None:
        async with page(jupyter, Cookie=cookie) as looking:
            assert (await looking.read())["full"]
        with pytest.raises(HTTPClientError, match="403"):
            async with page(jupyter, Cookie=cookie, Origin="http://elsewhere.example"):
                pass

    run(work)
