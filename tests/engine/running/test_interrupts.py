from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from kernelfleet.engine.running import interrupts
from kernelfleet.wire.objects.serialize import pack
from tests.engine.driver import Engine

#: Far below the 60 s that the code would take, and bearable on a machine under load.
PROMPTLY = 5

BLOCKING = {
    "sleep": "time.sleep(60)",
    "loop": "while True: pass",
    "await": "await asyncio.sleep(60)",
    "await, then sleep": "await asyncio.sleep(0); time.sleep(60)",
    "a task that sleeps": ("async def work(): time.sleep(60)\nawait asyncio.create_task(work())"),
    "a task that sleeps later": (
        "async def work():\n    await asyncio.sleep(0.01); time.sleep(60)\n"
        "await asyncio.create_task(work())"
    ),
    "a callback that sleeps": (
        "asyncio.get_running_loop().call_soon(time.sleep, 60)\nawait asyncio.sleep(1)"
    ),
    "asyncio.run": "asyncio.run(asyncio.sleep(60))",
    "asyncio.run in an awaiting cell": "await asyncio.sleep(0)\nasyncio.run(asyncio.sleep(60))",
    "subprocess": "import subprocess; subprocess.run(['sleep', '60'])",
    "thread": "import threading; threading.Event().wait(60)",
}


@pytest.mark.parametrize("code", BLOCKING.values(), ids=BLOCKING)
def test_a_running_cell_is_interrupted_promptly(engine: Engine, code: str) -> None:
    engine.execute("import asyncio, time")
    for _ in range(3):
        sent = engine.send("fleet_execute_request", {"code": f"print('now', flush=True)\n{code}"})
        engine.wait_for_output(sent, "now")
        begun = time.monotonic()
        engine.interrupt()
        content = engine.reply_to(sent)["content"]
        assert time.monotonic() - begun < PROMPTLY
        assert (content["status"], content["ename"]) == ("error", "KeyboardInterrupt")
        assert "KeyboardInterrupt" in "\n".join(content["traceback"])
    assert engine.execute("print('alive')")["stdout"] == "alive\n"


def test_interrupts_racing_the_end_of_a_cell_lose_no_reply(engine: Engine) -> None:
    engine.execute("import time")
    seen = set()
    for n in range(100):
        sent = engine.send(
            "fleet_execute_request", {"code": f"time.sleep({n % 10} / 3000)\nx = {n}"}
        )
        time.sleep((n % 7) / 2000)  # the race itself, not a wait
        engine.interrupt()
        content = engine.reply_to(sent)["content"]
        seen.add(content["status"])
        if content["status"] == "error":
            assert content["ename"] == "KeyboardInterrupt"
        else:
            assert engine.pull("x") == [n]
        # the next request is never hit
        assert engine.execute("y = 1")["status"] == "ok"
    assert seen == {"ok", "error"}


def test_interrupts_racing_the_end_of_an_awaiting_cell_lose_no_reply(engine: Engine) -> None:
    engine.execute("import asyncio")
    for n in range(100):
        sent = engine.send(
            "fleet_execute_request", {"code": f"await asyncio.sleep({n % 10} / 3000)"}
        )
        time.sleep((n % 7) / 2000)  # the race itself, not a wait
        engine.interrupt()
        content = engine.reply_to(sent)["content"]
        assert content["status"] == "ok" or content["ename"] == "KeyboardInterrupt"
        assert engine.execute("y = 1")["status"] == "ok"


def test_a_shell_command_is_interrupted(engine: Engine) -> None:
    sent = engine.send("fleet_execute_request", {"code": "print('now', flush=True)\n!sleep 60"})
    engine.wait_for_output(sent, "now")
    engine.interrupt()
    while not engine.shell.poll(PROMPTLY * 200):
        engine.interrupt()  # while pexpect starts the command, an interrupt can get lost in it
    # IPython passes an interrupt on to the command and does not always raise it as well
    content = engine.reply_to(sent)["content"]
    assert content["status"] in {"ok", "error"}
    assert engine.execute("1")["status"] == "ok"


def test_a_task_is_interrupted_wherever_it_is_just_then(engine: Engine) -> None:
    engine.execute("import asyncio, time\nasync def work(): time.sleep(60)")
    for n in range(20):
        code = "await asyncio.sleep(0.001)\nawait asyncio.create_task(work())"
        sent = engine.send("fleet_execute_request", {"code": code})
        time.sleep(0.001 + n / 3000)  # the race itself, not a wait
        engine.interrupt()
        while not engine.shell.poll(PROMPTLY * 1000):
            engine.interrupt()  # an interrupt before the cell has begun is nobody's
        assert engine.reply_to(sent)["content"]["ename"] == "KeyboardInterrupt"


def test_a_burst_of_interrupts_is_survived(engine: Engine) -> None:
    engine.execute("import time")
    for _ in range(20):
        sent = engine.send("fleet_execute_request", {"code": "time.sleep(0.002)"})
        for _ in range(30):
            engine.interrupt()
        engine.reply_to(sent)
        assert engine.execute("y = 1")["status"] == "ok"


def test_an_idle_engine_ignores_interrupts(engine: Engine) -> None:
    for _ in range(20):
        engine.interrupt()
        assert engine.execute("1")["status"] == "ok"


def test_children_are_not_born_ignoring_interrupts(engine: Engine) -> None:
    code = (
        "import subprocess, sys\n"
        "print(subprocess.run([sys.executable, '-c', 'import signal; "
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)'],"
        " capture_output=True, text=True).stdout)"
    )
    assert engine.execute(code)["stdout"].strip() == "True"


def sleep_there(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


async def sleep_there_async(seconds: float) -> str:
    import asyncio

    await asyncio.sleep(seconds)
    return "slept"


@pytest.mark.parametrize("function", [sleep_there, sleep_there_async])
def test_a_called_function_is_interrupted(
    engine: Engine, function: Callable[[float], object]
) -> None:
    def announced(seconds: float) -> object:
        print("now", flush=True)
        return function(seconds)

    assert engine.apply(announced, 0.01) == "slept"
    for _ in range(3):
        sent = engine.send("fleet_apply_request", buffers=pack((announced, (60,), {})))
        engine.wait_for_output(sent, "now")
        engine.interrupt()
        reply = engine.reply_to(sent, timeout=PROMPTLY)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert reply["buffers"] == []


class SlowToUnpickle:
    def __reduce__(self) -> tuple[object, ...]:
        return sleep_there, (60,)


def test_unpickling_a_push_is_interruptible(engine: Engine) -> None:
    sent = engine.send("fleet_push_request", buffers=pack({"a": 1, "slow": SlowToUnpickle()}))
    while not engine.shell.poll(100):
        engine.interrupt()
    assert engine.reply_to(sent)["content"]["ename"] == "KeyboardInterrupt"
    assert engine.keys() == []


def test_a_cell_may_handle_the_interrupt_itself(engine: Engine) -> None:
    code = (
        "import time\n"
        "try:\n    print('now', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    handled = True"
    )
    sent = engine.send("fleet_execute_request", {"code": code})
    engine.wait_for_output(sent, "now")
    engine.interrupt()
    assert engine.reply_to(sent)["content"]["status"] == "ok"
    assert engine.pull("handled") == [True]


def test_the_control_channel_interrupts_as_well(engine: Engine) -> None:
    code = "import asyncio\nprint('now', flush=True)\nawait asyncio.sleep(60)"
    sent = engine.send("fleet_execute_request", {"code": code})
    engine.wait_for_output(sent, "now")
    assert engine.ask_control("interrupt_request")["content"]["status"] == "ok"
    assert engine.reply_to(sent, timeout=PROMPTLY)["content"]["ename"] == "KeyboardInterrupt"


@pytest.fixture
def sigint_is_ours() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, interrupts.remember)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint_is_ours")
def test_an_interrupt_between_two_pieces_of_a_request_is_for_the_next() -> None:
    with interrupts.serving("one"):
        assert interrupts.run_interruptible(lambda: 1) == 1
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.run_interruptible(lambda: 2)
        assert interrupts.run_interruptible(lambda: 3) == 3


@pytest.mark.usefixtures("sigint_is_ours")
def test_an_interrupt_between_requests_or_behind_the_last_piece_is_dropped() -> None:
    with interrupts.serving("one"):
        interrupts.run_interruptible(lambda: 1)
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    with interrupts.serving("two"):
        assert interrupts.run_interruptible(lambda: 2) == 2


@pytest.mark.usefixtures("sigint_is_ours")
@pytest.mark.parametrize("hits", [1, 2, 3, 4, 20])
def test_a_burst_that_hits_where_the_handler_is_changed_back_loses_no_value(
    hits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, left = interrupts._set_handler, [hits]

    def set_handler(number: int, handler: Callable[..., object]) -> object:
        if handler is interrupts.remember and left[0]:
            left[0] -= 1
            signal.raise_signal(signal.SIGINT)
        return usual(number, handler)

    monkeypatch.setattr(interrupts, "_set_handler", set_handler)
    with interrupts.serving("one"):
        assert interrupts.run_interruptible(lambda: 7) == 7
        assert signal.getsignal(signal.SIGINT) is interrupts.remember
        with pytest.raises(KeyboardInterrupt):  # the next piece has it
            interrupts.run_interruptible(lambda: 8)
    assert left == [0]


def test_a_request_whose_serving_an_interrupt_has_ended_is_answered(engine: Engine) -> None:
    code = (
        "kernel = get_ipython().kernel\n"
        "def flush():\n"
        "    del kernel._flush_output\n"
        "    raise KeyboardInterrupt\n"
        "kernel._flush_output = flush\n"
        "before = {}"
    )
    for wait in ("1", "await __import__('asyncio').sleep(0.001)"):
        first = engine.send("fleet_execute_request", {"code": code.format(wait)})
        second = engine.send("fleet_execute_request", {"code": "2"})
        assert engine.reply_to(first)["content"]["ename"] == "KeyboardInterrupt"
        assert engine.reply_to(second)["content"]["status"] == "ok"
    assert engine.value("2 + 2") == 4


@pytest.mark.usefixtures("sigint_is_ours")
def test_an_interrupt_between_a_call_and_its_coroutine_cancels_the_coroutine() -> None:
    async def wait() -> None:
        await asyncio.sleep(60)

    async def request() -> None:
        with interrupts.serving("one"):
            coroutine = interrupts.run_interruptible(wait)
            signal.raise_signal(signal.SIGINT)
            await interrupts.run_cancellable(coroutine)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(request())


@pytest.mark.usefixtures("sigint_is_ours")
@pytest.mark.parametrize("whose", ["the cell's", "a task's of the user"])
def test_an_interrupt_while_a_task_tells_its_end_loses_nobody_who_waits_for_it(
    whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hit: list[asyncio.Task[object]] = []

    async def work() -> int:
        return 7

    async def cell() -> int:
        return await asyncio.create_task(work())

    async def request() -> int:
        loop = asyncio.get_running_loop()
        usual = loop.call_soon

        def call_soon(callback: Callable[..., object], *args: object, **options: object) -> object:
            running = asyncio.current_task(loop)
            if running is not None and running.done() and not hit:
                hit.append(running)
                signal.raise_signal(signal.SIGINT)
            return usual(callback, *args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "call_soon", call_soon)
        with interrupts.serving("one"):
            coroutine = work() if whose == "the cell's" else cell()
            async with asyncio.timeout(10):
                return await interrupts.run_cancellable(coroutine)

    try:
        assert asyncio.run(request()) == 7
    except KeyboardInterrupt:
        assert whose == "a task's of the user"  # the cell goes on, and is cancelled
    assert len(hit) == 1
