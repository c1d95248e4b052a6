"""An engine is a complete Jupyter kernel for others while a fleet uses it."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.session import Session

from kernelfleet.wire.buffers.frames import from_frames
from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, Probe, SharedBuffer, available
from tests.engine.driver import Engine
from tests.fleets import eventually
from tests.gate import Gate


def finished(client: BlockingKernelClient, msg_id: str) -> list[dict[str, Any]]:
    """Everything published for a request, up to its idle."""
    messages = []
    while True:
        message = client.get_iopub_msg(timeout=10)
        if message["parent_header"].get("msg_id") == msg_id:
            messages.append(message)
            if message["content"].get("execution_state") == "idle":
                return messages


def test_a_console_executes_completes_and_inspects(engine: Engine) -> None:
    with engine.console() as console:
        engine.push(apple=[1, 2])
        msg_id = console.execute("print(apple)")
        reply = console.get_shell_msg(timeout=10)
        assert reply["content"]["status"] == "ok"
        text = [
            m["content"]["text"] for m in finished(console, msg_id) if m["msg_type"] == "stream"
        ]
        assert "".join(text) == "[1, 2]\n"
        console.complete("app", 3)
        assert console.get_shell_msg(timeout=10)["content"]["matches"] == ["apple"]
        console.inspect("len", 3)
        assert console.get_shell_msg(timeout=10)["content"]["found"]


def test_a_console_sees_what_the_fleet_does(engine: Engine) -> None:
    with engine.console() as console:
        sent = engine.send("fleet_execute_request", {"code": "print('seen')\n6 * 7"})
        reply = engine.reply_to(sent)
        messages = finished(console, sent)
        kinds = list(dict.fromkeys(m["msg_type"] for m in messages[:-1]))  # text may come in two
        assert kinds == ["status", "execute_input", "stream", "execute_result"]
        assert messages[-1]["content"] == {"execution_state": "idle"}
        assert messages[0]["content"] == {"execution_state": "busy"}
        assert messages[1]["content"]["code"] == "print('seen')\n6 * 7"
        assert messages[1]["content"]["execution_count"] == reply["content"]["number"]
        # all but the idle come before the reply and are counted
        assert reply["content"]["n_iopub"] == len(messages) - 1
        assert len(engine.outputs(reply)) == len(messages) - 1
    assert engine.execute("a = 1")["n_iopub"] == 0


def test_a_consoles_input_is_answered_between_fleet_requests(engine: Engine) -> None:
    with engine.console() as console:
        for n in range(3):
            msg_id = console.execute(f"answer = input('n{n}?')")
            request = console.get_stdin_msg(timeout=10)
            sent = engine.send("fleet_execute_request", {"code": "print(answer)"})
            assert request["content"]["prompt"] == f"n{n}?"
            console.input(f"reply {n}")
            reply = engine.reply_to(sent)
            streams = [m for m in engine.outputs(reply) if m["msg_type"] == "stream"]
            assert "".join(m["content"]["text"] for m in streams) == f"reply {n}\n"
            finished(console, msg_id)


def test_console_and_fleet_share_the_engine_without_losing_a_request(engine: Engine) -> None:
    with engine.console() as console:
        count = 100
        results: queue.Queue[str] = queue.Queue()

        def ask() -> None:
            for n in range(count):
                reply = engine.ask("fleet_execute_request", {"code": f"f{n} = {n}"})
                results.put(reply["content"]["status"])

        thread = threading.Thread(target=ask)
        thread.start()
        for n in range(count):
            msg_id = console.execute(f"c{n} = {n}")
            reply = console.get_shell_msg(timeout=10)
            assert reply["parent_header"]["msg_id"] == msg_id
            assert reply["content"]["status"] == "ok"
        thread.join(20)
        assert [results.get_nowait() for _ in range(count)] == ["ok"] * count


def test_a_consoles_failing_cell_aborts_no_request_of_the_fleet(engine: Engine, gate: Gate) -> None:
    with engine.console() as console:
        msg_id = console.execute(f"{gate.code}; 1/0")
        gate.entered()
        sent = [engine.send("fleet_execute_request", {"code": f"a{n} = {n}"}) for n in range(5)]
        gate.open()
        assert [engine.reply_to(s)["content"]["status"] for s in sent] == ["ok"] * 5
        assert console.get_shell_msg(timeout=10)["content"]["status"] == "error"
        finished(console, msg_id)


def test_messages_with_a_wrong_signature_are_ignored(engine: Engine) -> None:
    right = engine.session
    engine.session = Session(key=b"wrong")
    engine.send("fleet_execute_request", {"code": "intruded = True"})
    engine.send("fleet_identity_request", {"engine_id": 9, "n_engines": 9}, socket=engine.control)
    engine.session = right
    assert engine.keys() == []
    assert engine.pull("engine_id") == [3]


def test_malformed_and_unknown_requests_do_no_harm(engine: Engine) -> None:
    engine.shell.send_multipart([b"nonsense"])
    engine.shell.send_multipart([b"<IDS|MSG>", b"", b'"fleet_', b"", b"", b""])
    unknown = engine.ask("fleet_dance_request")["content"]
    assert (unknown["status"], unknown["kind"]) == ("error", "engine")
    assert unknown["ename"] == "UnsupportedOperation"
    assert "knows no fleet_dance_request" in unknown["evalue"]
    assert engine.ask_control("fleet_dance_request")["content"]["kind"] == "engine"
    assert engine.ask("fleet_execute_request", {})["content"]["status"] == "error"
    assert engine.execute("1")["status"] == "ok"


def test_setup_tells_about_the_process(start_engine: Any) -> None:
    import platform

    engine = start_engine()
    content = engine.ask("fleet_setup_request", {"engine_id": 1, "n_engines": 2})["content"]
    assert content["pid"] == engine.process.pid
    assert content["python"] == platform.python_version()
    assert content["host"] == platform.node()


def is_lost(frames: list[Any]) -> bool:
    try:
        from_frames(frames)
    except LostSharedBuffer:
        return True
    return False


@pytest.mark.skipif(not available(), reason="no shared memory here")
def test_a_block_stays_until_word_comes_that_this_one_was_taken(start_engine: Any) -> None:
    engine, probe = start_engine(), Probe()
    identity = {"engine_id": 0, "n_engines": 1}
    engine.ask("fleet_setup_request", {**identity, **probe.fields()})
    engine.execute("big = bytes(2_000_000)")
    first = engine.ask("fleet_pull_request", {"names": ["big"]})
    second = engine.ask("fleet_pull_request", {"names": ["big"]})
    late = {"of": first["parent_header"]["msg_id"]}
    engine.send("fleet_taken_request", late, socket=engine.control)
    engine.ask_control("fleet_identity_request", identity)  # by now it has been heard
    # Beside the queue, as when another engine has died and the number of engines has changed.
    engine.ask("fleet_identity_request", identity)
    (block,) = from_frames(second["buffers"])
    assert isinstance(block, SharedBuffer)
    assert is_lost(first["buffers"])
    taken = {"of": second["parent_header"]["msg_id"]}
    engine.send("fleet_taken_request", taken, socket=engine.control)
    eventually(lambda: is_lost(second["buffers"]))


COMM = """
from comm import create_comm
heard = []
comm = create_comm("test")
@comm.on_msg
def take(msg):
    heard.append((msg["content"]["data"], [bytes(each) for each in msg["buffers"]]))
    print("heard")
    comm.send({"back": 1})
    if "ask" in msg["content"]["data"]:
        input()
    if "wait" in msg["content"]["data"]:
        import time; time.sleep(600)
"""


def test_a_message_for_a_comm_runs_its_callback_as_a_request_of_the_fleet(engine: Engine) -> None:
    engine.execute(COMM)
    comm_id = engine.value("comm.comm_id")

    def say(data: dict[str, Any]) -> dict[str, Any]:
        content = {"msg_type": "comm_msg", "comm_id": comm_id, "data": data}
        return engine.ask("fleet_comm_request", content, [b"bytes"])

    reply = say({"x": 1})
    assert reply["content"]["status"] == "ok"
    published = {each["msg_type"]: each["content"] for each in engine.outputs(reply)}
    assert published["stream"]["text"] == "heard\n"
    assert published["comm_msg"]["data"] == {"back": 1}
    assert engine.value("heard") == [({"x": 1}, [b"bytes"])]
    assert say({"ask": 1})["content"]["status"] == "ok"  # (ipykernel logs what the callback raises)

    closing = {"msg_type": "comm_close", "comm_id": comm_id, "data": {}}
    assert engine.ask("fleet_comm_request", closing)["content"]["status"] == "ok"
    assert say({"x": 2})["content"]["status"] == "ok"
    assert len(engine.value("heard")) == 2  # nothing is there any more that could hear


def test_an_interrupt_that_is_read_too_late_is_refused_and_interrupts_nothing(
    engine: Engine,
) -> None:
    """A controller that had waited no longer has meanwhile sent a signal, or asks again."""
    sent = engine.send("fleet_execute_request", {"code": "import time; time.sleep(0.3); 'done'"})
    late = {"msg_id": sent, "until": time.monotonic() - 0.001}
    assert engine.ask_control("fleet_interrupt_request", late)["content"]["status"] == "aborted"
    assert engine.reply_to(sent)["content"]["status"] == "ok"


def test_a_callback_that_does_not_end_is_interrupted_by_its_name(engine: Engine) -> None:
    engine.execute(COMM)
    content = {"msg_type": "comm_msg", "comm_id": engine.value("comm.comm_id"), "data": {"wait": 1}}
    sent = engine.send("fleet_comm_request", content)
    while engine.receive(engine.iopub)["msg_type"] != "comm_msg":
        pass
    engine.ask_control("fleet_interrupt_request", {"msg_id": sent})
    reply = engine.reply_to(sent)
    assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "KeyboardInterrupt")
    assert engine.value("1 + 1") == 2
