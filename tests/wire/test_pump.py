"""One ZMQ socket on an asyncio loop: nothing stalls, nothing is lost, order is kept."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zmq

from kernelfleet.wire.pump import BATCH, TURN_SECONDS, SocketPump

DEADLINE = 30.0


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.destroy(linger=0)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, DEADLINE))


def pair(context: zmq.Context[Any], url: str) -> tuple[zmq.Socket[Any], zmq.Socket[Any]]:
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a router drops what a full peer does not take
    router.bind(url)
    dealer.connect(router.getsockopt(zmq.LAST_ENDPOINT))
    return router, dealer


@pytest.fixture(params=["ipc", "tcp"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/s" if request.param == "ipc" else "tcp://127.0.0.1:*"


@pytest.mark.parametrize("depth", [1, 4, 16, 1000])
def test_pipelined_messages_both_ways_never_stall(
    context: zmq.Context[Any], url: str, depth: int
) -> None:
    """Sending eats the edge of a waiting message: jupyter_client's own client stalls this way."""
    total = 3000

    async def echo() -> None:
        loop = asyncio.get_running_loop()
        router, dealer = pair(context, url)
        done = loop.create_future()
        received: list[int] = []
        sent = 0

        def ask() -> None:
            nonlocal sent
            if sent < total:
                sent += 1
                client.send([b"%d" % sent])

        def answered(frames: list[Any]) -> None:
            received.append(int(frames[0].bytes))
            ask()
            if len(received) == total:
                done.set_result(None)

        server = SocketPump(loop, router, lambda frames: server.send([*frames]))
        client = SocketPump(loop, dealer, answered)
        for _ in range(depth):
            ask()
        try:
            await done
            assert received == list(range(1, total + 1))
        finally:
            client.close()
            server.close()

    run(echo())


def test_both_sides_talk_at_once_without_answering(context: zmq.Context[Any], url: str) -> None:
    total = 3000

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        router, dealer = pair(context, url)
        dealer_got: list[bytes] = []
        router_got: list[bytes] = []
        done = asyncio.Event()

        def check() -> None:
            if len(dealer_got) == total and len(router_got) == total:
                done.set()

        def at_router(frames: list[Any]) -> None:
            router_got.append(frames[1].bytes)
            if len(router_got) == 1:
                for number in range(total):
                    server.send([frames[0], b"%d" % number])
            check()

        def at_dealer(frames: list[Any]) -> None:
            dealer_got.append(frames[0].bytes)
            check()

        server, client = SocketPump(loop, router, at_router), SocketPump(loop, dealer, at_dealer)
        for number in range(total):
            client.send([b"%d" % number])
            if number % 7 == 0:
                await asyncio.sleep(0)
        try:
            await done.wait()
            expected = [b"%d" % number for number in range(total)]
            assert dealer_got == router_got == expected
        finally:
            client.close()
            server.close()

    run(talk())


def test_a_full_peer_blocks_nobody_and_gets_everything_in_order(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    total = 500

    async def fill() -> None:
        loop = asyncio.get_running_loop()
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.sndhwm = pull.rcvhwm = 2
        pull.bind(f"ipc://{tmp_path}/s")
        push.connect(f"ipc://{tmp_path}/s")
        writer = SocketPump(loop, push, lambda _: None)
        for number in range(total):
            writer.send([b"%d" % number, b"x" * 10_000])
        assert writer.backlog > 0  # and we are still here
        got: list[int] = []
        done = asyncio.Event()

        def take(frames: list[Any]) -> None:
            got.append(int(frames[0].bytes))
            if len(got) == total:
                done.set()

        reader = SocketPump(loop, pull, take)
        try:
            await done.wait()
            assert got == list(range(total))
            assert writer.backlog == 0
        finally:
            writer.close()
            reader.close()

    run(fill())


def with_reader(
    context: zmq.Context[Any],
    tmp_path: Path,
    on_message: Callable[[SocketPump, list[Any]], None],
    test: Callable[[zmq.Socket[Any], SocketPump], Coroutine[Any, Any, None]],
) -> None:
    async def body() -> None:
        router, dealer = pair(context, f"ipc://{tmp_path}/s")
        loop = asyncio.get_running_loop()
        pump = SocketPump(loop, router, lambda frames: on_message(pump, frames))
        try:
            await test(dealer, pump)
        finally:
            dealer.close(linger=0)
            pump.close()

    run(body())


def test_an_error_in_the_callback_is_reported_and_the_rest_is_read(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    got: list[bytes] = []
    reported: list[dict[str, Any]] = []
    done = asyncio.Event()

    def take(_: SocketPump, frames: list[Any]) -> None:
        got.append(frames[1].bytes)
        if len(got) == 3:
            done.set()
        if got[-1] == b"bad":
            raise ZeroDivisionError

    async def test(dealer: zmq.Socket[Any], _: SocketPump) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, details: reported.append(details))
        for data in (b"1", b"bad", b"2"):
            dealer.send(data)
        await done.wait()

    with_reader(context, tmp_path, take, test)
    assert got == [b"1", b"bad", b"2"]
    assert [type(each["exception"]) for each in reported] == [ZeroDivisionError]


def test_a_flood_leaves_others_on_the_loop_their_turn(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    got = 0
    seen_at: list[int] = []
    done = asyncio.Event()
    total = 10 * BATCH

    def take(_: SocketPump, __: list[Any]) -> None:
        nonlocal got
        got += 1
        if got == total:
            done.set()

    async def test(dealer: zmq.Socket[Any], _: SocketPump) -> None:
        for _number in range(total):
            dealer.send(b"x")
        while not done.is_set():
            seen_at.append(got)
            await asyncio.sleep(0)

    with_reader(context, tmp_path, take, test)
    assert max(later - now for now, later in pairwise(seen_at)) <= 2 * BATCH


def test_a_callback_may_close_the_pump(context: zmq.Context[Any], tmp_path: Path) -> None:
    got: list[bytes] = []
    done = asyncio.Event()

    def take(pump: SocketPump, frames: list[Any]) -> None:
        got.append(frames[1].bytes)
        pump.close()
        done.set()

    async def test(dealer: zmq.Socket[Any], pump: SocketPump) -> None:
        dealer.send(b"1")
        dealer.send(b"2")
        await done.wait()
        pump.send([b"into the void"])
        pump.drain()
        pump.close()

    with_reader(context, tmp_path, take, test)
    assert got == [b"1"]


def test_an_unknown_peer_is_told_to_the_sender(context: zmq.Context[Any], tmp_path: Path) -> None:
    async def test(_: zmq.Socket[Any], pump: SocketPump) -> None:
        pump.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        with pytest.raises(zmq.ZMQError) as caught:
            pump.send([b"nobody", b"x"])
        assert caught.value.errno == zmq.EHOSTUNREACH

    with_reader(context, tmp_path, lambda *_: None, test)


def test_what_waits_for_a_peer_that_left_does_not_hold_up_the_others(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    """A full peer leaves while messages for it and for another wait."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        router = context.socket(zmq.ROUTER)
        router.sndhwm = 1
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.bind(f"ipc://{tmp_path}/s")
        peers = []
        for name in (b"full", b"fine"):
            dealer = context.socket(zmq.DEALER)
            dealer.rcvhwm = 1
            dealer.linger = 0
            dealer.setsockopt(zmq.ROUTING_ID, name)
            dealer.connect(f"ipc://{tmp_path}/s")
            dealer.send(b"here")
            peers.append(dealer)
        here: list[bytes] = []
        both = asyncio.Event()

        def arrived(frames: list[Any]) -> None:
            here.append(frames[0].bytes)
            if len(here) == 2:
                both.set()

        server = SocketPump(loop, router, arrived)
        await both.wait()
        for _ in range(100):
            server.send([b"full", b"x" * 1_000_000])
        server.send([b"fine", b"hello"])
        assert server.backlog > 0
        got = loop.create_future()
        reader = SocketPump(loop, peers[1], lambda frames: got.set_result(frames[0].bytes))
        peers[0].close()
        try:
            assert await got == b"hello"
        finally:
            reader.close()
            server.close()

    run(body())


def test_a_send_that_fails_does_not_hide_what_has_arrived(
    context: zmq.Context[Any], url: str
) -> None:
    """A client has gone while others' messages wait: telling it eats the edge of theirs."""

    async def tell_one_who_is_gone() -> None:
        router, dealer = pair(context, url)
        arrived: asyncio.Queue[bytes] = asyncio.Queue()
        server = SocketPump(
            asyncio.get_running_loop(), router, lambda frames: arrived.put_nowait(frames[1].bytes)
        )
        try:
            dealer.send(b"first")  # from here on the connection makes no edges of its own
            assert await arrived.get() == b"first"
            dealer.send(b"second")
            assert select.select([int(router.getsockopt(zmq.FD))], [], [], DEADLINE)[0]
            with pytest.raises(zmq.ZMQError):
                server.send([b"nobody", b"are you there?"])
            assert await asyncio.wait_for(arrived.get(), 5) == b"second"
        finally:
            server.close()
            dealer.close()

    run(tell_one_who_is_gone())


def test_messages_that_take_long_to_handle_leave_others_their_turns(
    context: zmq.Context[Any], url: str
) -> None:
    """Sixty engines that print must not keep the loop from another client's small call."""

    async def flood() -> None:
        loop = asyncio.get_running_loop()
        router, dealer = pair(context, url)
        for _ in range(20):
            dealer.send(b"x")
        read: list[float] = []

        def slowly(_: list[Any]) -> None:
            read.append(loop.time())
            while loop.time() < read[-1] + TURN_SECONDS / 2:
                pass

        server = SocketPump(loop, router, slowly)
        turns: list[int] = []
        try:
            while len(read) < 20:
                turns.append(len(read))
                await asyncio.sleep(0)
            in_one_turn = max(b - a for a, b in pairwise([*turns, len(read)]))
            assert in_one_turn <= 4  # in a round of the loop it may be woken twice
        finally:
            server.close()
            dealer.close()

    run(flood())
