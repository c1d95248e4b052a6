"""shell_channel.py: messages are served in place, in order, and the event loop goes on turning."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kernelfleet.wire.files import packet_socket
from kernelfleet.wire.files.packet_socket import PacketSocket
from kernelfleet.wire.jupyter import encode_compact, open_compact
from kernelfleet.wire.platforms import HERE
from tests.engine.driver import Engine


def test_requests_are_served_in_the_order_in_which_they_came_whether_they_await_or_not(
    engine: Engine,
) -> None:
    engine.execute("import asyncio\norder = []")
    codes = [
        f"{'await asyncio.sleep(0.01); ' if n % 3 == 0 else ''}order.append({n})" for n in range(20)
    ]
    sent = [engine.send("fleet_execute_request", {"code": code}) for code in codes]
    replies = [engine.receive() for _ in sent]
    assert [reply["parent_header"]["msg_id"] for reply in replies] == sent
    assert engine.value("order") == list(range(20))


def test_messages_of_jupyter_and_of_the_fleet_keep_their_order(engine: Engine) -> None:
    engine.execute("order = []")
    sent = []
    for n in range(10):
        content = {"code": f"order.append({n})", "silent": True}
        kind = "execute_request" if n % 2 else "fleet_execute_request"
        sent.append(engine.send(kind, content))
    assert [engine.receive()["parent_header"]["msg_id"] for _ in sent] == sent
    assert engine.value("order") == list(range(10))


def test_tasks_of_the_users_go_on_between_requests_that_follow_each_other(engine: Engine) -> None:
    engine.execute(
        "import asyncio\nturns = 0\n"
        "async def turn():\n    global turns\n    while True:\n"
        "        turns += 1; await asyncio.sleep(0)\n"
        "task = asyncio.create_task(turn())"
    )
    sent = [engine.send("fleet_execute_request", {"code": f"t{n} = turns"}) for n in range(5)]
    assert [engine.receive()["parent_header"]["msg_id"] for _ in sent] == sent
    seen = engine.value("[t0, t1, t2, t3, t4]")
    assert sorted(set(seen)) == seen  # it turned between any two
    engine.execute("task.cancel()")


def test_a_context_variable_set_in_one_cell_is_there_in_the_next(engine: Engine) -> None:
    engine.execute("import contextvars\nv = contextvars.ContextVar('v', default=0)")
    engine.execute("_ = v.set(v.get() + 1)")
    asked = engine.send("execute_request", {"code": "_ = v.set(v.get() + 1)", "silent": True})
    assert engine.receive()["parent_header"]["msg_id"] == asked
    assert engine.execute("print(v.get())")["stdout"] == "2\n"


def test_an_awaiting_cell_has_a_task_and_may_be_timed(engine: Engine) -> None:
    code = (
        "import asyncio\n"
        "try:\n    async with asyncio.timeout(0.01): await asyncio.sleep(60)\n"
        "except TimeoutError: print(asyncio.current_task() is not None)"
    )
    assert engine.execute(code)["stdout"] == "True\n"


def test_a_called_coroutine_has_a_task_from_its_first_step_on(engine: Engine) -> None:
    assert engine.apply(timed) == "in time"


async def timed() -> str:
    import asyncio

    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        return "in time"


def test_a_nested_loop_reads_no_message_and_none_is_lost(engine: Engine) -> None:
    """The first cell that nests loops runs in the callback that has read it."""
    code = (
        "import asyncio, nest_asyncio; nest_asyncio.apply()\n"
        "asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.05))"
    )
    sent = [engine.send("fleet_execute_request", {"code": code}) for _ in range(4)]
    replies = [engine.receive() for _ in sent]
    assert [reply["parent_header"]["msg_id"] for reply in replies] == sent
    assert {reply["content"]["status"] for reply in replies} == {"ok"}


def test_what_waits_behind_a_failing_cell_of_jupyters_is_aborted(engine: Engine) -> None:
    sent = [
        engine.send("execute_request", {"code": "await __import__('asyncio').sleep(0.05); 1/0"})
    ]
    sent += [engine.send("execute_request", {"code": "1"}) for _ in range(3)]
    replies = [engine.receive() for _ in sent]
    assert [reply["content"]["status"] for reply in replies] == ["error", *["aborted"] * 3]


# -- packets ---------------------------------------------------------------------------------------

needs_packets = pytest.mark.skipif(not HERE.packets, reason="needs Linux")


@pytest.fixture
def packets(engine: Engine) -> Iterator[PacketSocket]:
    """The controller's end."""
    identity = {"engine_id": 3, "n_engines": 4}
    answer = engine.ask("fleet_setup_request", {**identity, "packets": True})["content"]
    assert answer["packets"] is True
    connected = packet_socket.connect(f"{engine.connection_file}{packet_socket.SUFFIX}")
    assert connected is not None
    yield connected
    connected.close()


def send(engine: Engine, packets: PacketSocket, code: str) -> str:
    msg_id = engine.session.msg_id
    content = {"code": code}
    assert packets.send(encode_compact(engine.session, "fleet_execute_request", msg_id, content))
    return msg_id


def reply(engine: Engine, packets: PacketSocket) -> tuple[str, dict[str, object]]:
    """The id and the content of the next reply that is a packet."""
    frames = None
    end = time.monotonic() + 10
    while frames is None:
        assert time.monotonic() < end, "no reply came"
        frames = packets.receive()
    _, msg_id, content = open_compact(engine.session, [b"engine", *frames])
    return msg_id, engine.session.unpack(content)


def ok(engine: Engine, packets: PacketSocket, code: str) -> bool:
    sent = send(engine, packets, code)
    answered, content = reply(engine, packets)
    return answered == sent and content["status"] == "ok"


@needs_packets
def test_a_small_request_is_answered_by_a_packet_and_a_large_reply_goes_over_zmq(
    engine: Engine, packets: PacketSocket
) -> None:
    assert ok(engine, packets, "x = 5")
    assert ok(engine, packets, "import asyncio\nawait asyncio.sleep(0.01); assert x == 5")
    sent = send(engine, packets, "raise ValueError('long ' * 30_000)")
    assert engine.reply_to(sent)["content"]["ename"] == "ValueError"
    assert ok(engine, packets, "assert x == 5")


@needs_packets
def test_what_was_sent_as_a_packet_is_served_before_what_came_over_zmq_afterwards(
    engine: Engine, packets: PacketSocket
) -> None:
    codes = ["import time; order = []; time.sleep(0.05)"] + [f"order.append({n})" for n in range(5)]
    sent = [send(engine, packets, code) for code in codes]
    sent.append(engine.send("fleet_execute_request", {"code": "order.append(5)"}))
    assert [reply(engine, packets)[0] for _ in sent] == sent
    assert ok(engine, packets, "assert order == [0, 1, 2, 3, 4, 5]")


@needs_packets
def test_when_the_controller_is_gone_replies_go_over_zmq_again(
    engine: Engine, packets: PacketSocket
) -> None:
    assert ok(engine, packets, "x = 5")
    packets.close()
    assert engine.value("x") == 5


@needs_packets
def test_a_gui_loop_ends_when_zmq_can_be_read_so_packets_are_read_no_more(
    engine: Engine, packets: PacketSocket
) -> None:
    code = (
        "kernel = get_ipython().kernel\n"
        "def loop(kernel):\n"  # as ipykernel's: until there is a message on shell
        "    import time\n"
        "    while not kernel.shell_stream.flush(limit=1): time.sleep(0.01)\n"
        "kernel.eventloop = loop"
    )
    sent = send(engine, packets, code)
    assert engine.reply_to(sent)["content"]["status"] == "ok"
    assert not packets.send([b"x"])
    assert engine.execute("kernel.eventloop = None")["status"] == "ok"
    assert engine.value("1") == 1


@needs_packets
def test_nothing_is_left_of_the_socket(engine: Engine, packets: PacketSocket) -> None:
    assert ok(engine, packets, "x = 5")
    assert not list(engine.folder.glob(f"*{packet_socket.SUFFIX}"))
