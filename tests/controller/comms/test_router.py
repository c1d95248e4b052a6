"""router.py: clients of one bridge are one, what is told is paced, and views come after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kernelfleet.controller.clients import Clients
from kernelfleet.controller.comms.router import CommRouter
from kernelfleet.controller.limits import Limits
from tests.controller.comms.kernels import custom, opening, update


class Reader:
    """A client's end; ``is_behind`` if it does not read."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, Any], list[Any]]] = []
        self.has_room, self.is_behind = True, False

    def deliver(self, header: dict[str, Any], buffers: list[Any]) -> None:
        self.got.append((header, buffers))

    @property
    def states(self) -> list[Any]:
        """The states in all that has come."""
        return [
            said["content"]["data"].get("state")
            for header, _ in self.got
            if header["event"] == "comms"
            for said in header["messages"]
        ]


class Home:
    """A router with one engine and two clients."""

    def __init__(self) -> None:
        self.clients = Clients(Limits())
        self.router = CommRouter()
        assert self.router.serve(self.clients) is self.clients
        self.comms = self.router.of_engine(0)
        self.readers = {name: Reader() for name in ("me", "too")}
        for name, reader in self.readers.items():
            self.clients.add(name, reader)
        self.me, self.too = self.readers.values()

    def leave(self, name: str) -> None:
        self.clients.remove(name)
        self.router.leave(name)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not done():  # noqa: ASYNC110 (timers of the router have no event)
                await asyncio.sleep(0.001)


def at_home(test: Callable[[Home], Awaitable[None]]) -> None:
    async def body() -> None:
        await asyncio.wait_for(test(Home()), 20)

    asyncio.run(body())


def test_the_first_is_told_at_once_and_what_follows_together() -> None:
    async def test(home: Home) -> None:
        home.router.watch("me", "b")
        home.comms.take(opening("a", x=0), None)
        await home.until(lambda: len(home.me.got) == 1)
        for i in range(1, 1001):
            home.comms.take(update("a", x=i), None)
            if i % 100 == 0:
                await asyncio.sleep(0)
        await home.until(lambda: home.me.states[-1] == {"x": 1000})
        assert len(home.me.got) < 20
        assert home.me.got[0][0]["messages"][0]["engine"] == 0

    at_home(test)


def test_clients_of_one_bridge_are_told_once_and_the_next_takes_over() -> None:
    async def test(home: Home) -> None:
        for name in ("me", "too", "me"):
            home.router.watch(name, "b")
        assert home.router.openers("too") == home.router.openers("me") == ["b"]
        assert home.router.openers("stranger") == []
        assert home.router.openers(None) == ["b"]
        home.comms.take(opening("a", x=0), None)
        home.router.flush()
        assert (len(home.me.got), len(home.too.got)) == (1, 0)
        home.leave("me")
        home.comms.take(update("a", x=1), None)
        await home.until(lambda: home.too.states == [{"x": 1}])
        home.leave("too")
        assert home.router.openers(None) == []
        home.comms.take(update("a", x=2), None)  # nobody has it any more
        home.router.watch("new", "c")
        assert home.comms.join("c", "a")[0].data["state"] == {"x": 2}

    at_home(test)


def test_a_view_is_not_shown_before_its_widget_is_there() -> None:
    async def test(home: Home) -> None:
        home.router.watch("me", "b")
        show = home.clients.stream_to("me", 1)
        home.comms.take(opening("a", x=0), None)
        show(0, "stream", b'{"text": "widget-view"}')
        show(0, "display_data", b'{"data": {"text/plain": "x"}}')
        show(0, "display_data", b'{"data": {"application/vnd.jupyter.widget-view+json": {}}}')
        assert [header["event"] for header, _ in home.me.got] == [
            "output", "output", "comms", "output",
        ]  # fmt: skip

    at_home(test)


def test_who_does_not_read_gets_the_last_state_when_he_does() -> None:
    async def test(home: Home) -> None:
        home.router.watch("me", "b")
        home.comms.take(opening("a", x=0), None)
        home.router.flush()
        home.me.is_behind = True
        for i in range(5000):
            home.comms.take(update("a", x=i), None)
        await asyncio.sleep(0.1)
        assert len(home.me.got) == 1
        home.me.is_behind = False
        await home.until(lambda: len(home.me.got) == 2)
        assert home.me.states == [{"x": 0}, {"x": 4999}]

    at_home(test)


def test_buffers_follow_in_the_order_of_the_messages() -> None:
    async def test(home: Home) -> None:
        home.router.watch("me", "b")
        home.comms.take(opening("a"), None)
        home.comms.take(update("a", image=None, buffers=(b"one",)), None)
        home.comms.take(custom("a", "draw"), None)
        home.comms.take(update("a", image=None, buffers=(b"two",)), None)
        home.router.flush()
        ((header, buffers),) = home.me.got
        assert [each["buffers"] for each in header["messages"]] == [0, 1, 0, 1]
        assert [bytes(each.buffer) for each in buffers] == [b"one", b"two"]

    at_home(test)


def test_a_bridge_that_comes_back_is_told_what_it_has_missed() -> None:
    async def test(home: Home) -> None:
        home.router.watch("me", "b")
        home.comms.take(opening("a", x=0), None)
        home.router.flush()
        home.leave("me")
        home.comms.take(update("a", x=1), None)
        home.clients.add("again", home.too)
        home.router.watch("again", "b")
        home.router.has("b", 0, "a")
        home.router.has("b", 7, "of an engine that is gone")
        home.router.flush()
        ((header, _),) = home.too.got
        kinds = [(each["engine"], each["msg_type"]) for each in header["messages"]]
        assert kinds == [(0, "comm_msg"), (7, "comm_close")]

    at_home(test)


def test_clients_of_a_head_are_told_through_its_session_each_bridge_for_itself() -> None:
    async def test(home: Home) -> None:
        home.router.watch("owner", "b", via="me")
        home.router.watch("other", "c", via="me")
        home.comms.take(opening("a", x=0), None)
        home.router.flush_for("owner")
        assert home.me.got == []
        home.router.flush_for("me")
        assert sorted(header["bridge"] for header, _ in home.me.got) == ["b", "c"]
        home.router.leave("owner")
        home.comms.take(update("a", x=1), None)
        home.router.flush()
        assert [header["bridge"] for header, _ in home.me.got[2:]] == ["c"]

    at_home(test)
