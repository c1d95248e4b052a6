from __future__ import annotations

import time

import pytest

from kernelfleet.wire.objects.serialize import unpack
from tests.engine.driver import Engine
from tests.fleets import eventually
from tests.gate import Gate

BUSY = {"sleep": "time.sleep(60)", "loop": "while True: pass"}


@pytest.mark.parametrize("code", BUSY.values(), ids=BUSY)
def test_variables_of_a_busy_engine_can_be_seen(engine: Engine, code: str) -> None:
    engine.execute("import time; a = 1; b = [2]")
    sent = engine.send("fleet_execute_request", {"code": f"print('now', flush=True)\n{code}"})
    engine.wait_for_output(sent, "now")
    begun = time.monotonic()
    reply = engine.ask_control("fleet_peek_request", {"names": ["a", "b"], "limit_bytes": 1000})
    assert unpack(reply["buffers"]) == [1, [2]]
    assert time.monotonic() - begun < 5
    engine.interrupt()
    assert engine.reply_to(sent)["content"]["ename"] == "KeyboardInterrupt"


def test_errors_are_reported(engine: Engine) -> None:
    reply = engine.ask_control("fleet_peek_request", {"names": ["nope"], "limit_bytes": None})
    assert reply["content"]["evalue"] == "name 'nope' is not defined"
    engine.execute("big = bytes(2000)\nimport threading\nlock = threading.Lock()")
    reply = engine.ask_control("fleet_peek_request", {"names": ["big"], "limit_bytes": 1000})
    assert reply["content"]["kind"] == "limit"
    assert "2" in reply["content"]["evalue"]
    reply = engine.ask_control("fleet_peek_request", {"names": ["lock"], "limit_bytes": None})
    assert reply["content"]["kind"] == "serialization"


def test_one_peek_at_a_time_and_interrupts_do_not_wait_for_it(engine: Engine, gate: Gate) -> None:
    engine.execute(
        f"class Slow:\n    def __reduce__(self):\n        {gate.code}\n        return int, ()\n"
        "slow = Slow()"
    )
    first = engine.send(
        "fleet_peek_request", {"names": ["slow"], "limit_bytes": None}, socket=engine.control
    )
    second = engine.send(
        "fleet_peek_request", {"names": ["slow"], "limit_bytes": None}, socket=engine.control
    )
    gate.entered()
    refused = engine.receive(engine.control)
    assert refused["parent_header"]["msg_id"] == second
    assert refused["content"]["kind"] == "busy"
    sent = engine.send(
        "fleet_execute_request", {"code": "print('now'); import time; time.sleep(60)"}
    )
    engine.wait_for_output(sent, "now")
    engine.interrupt()
    assert engine.reply_to(sent)["content"]["ename"] == "KeyboardInterrupt"
    gate.open()
    answered = engine.receive(engine.control)
    assert answered["parent_header"]["msg_id"] == first
    assert unpack(answered["buffers"]) == [0]


def test_a_busy_engine_says_which_call_it_is_in(engine: Engine) -> None:
    code = "import time\nprint('now', flush=True)\nx = 1; time.sleep(60)"
    sent = engine.send("fleet_execute_request", {"code": code})
    engine.wait_for_output(sent, "now")

    def where() -> str:
        reply = engine.ask_control("fleet_peek_request", {"where": True})
        return str(reply["content"]["where"])

    eventually(lambda: where() == "time.sleep(60) in line 3")
    engine.interrupt()
    assert engine.reply_to(sent)["content"]["ename"] == "KeyboardInterrupt"
