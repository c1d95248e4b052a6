from __future__ import annotations

from collections.abc import Callable

from tests.engine.driver import Engine


def test_asyncio_run_works_in_a_cell(engine: Engine) -> None:
    code = (
        "import asyncio\n"
        "async def f():\n    await asyncio.sleep(0.01)\n    return asyncio.get_running_loop()\n"
        "mine = asyncio.get_running_loop()\n"
        "other = asyncio.run(f())\n"
        "print(other is not mine, other.is_closed(), asyncio.get_running_loop() is mine)\n"
        "print(asyncio.get_event_loop() is mine)"
    )
    for _ in range(3):
        assert engine.execute(code)["stdout"] == "True True True\nTrue\n"
    assert engine.execute("await asyncio.sleep(0.01, 1)")["status"] == "ok"


def test_asyncio_run_works_in_an_awaiting_cell_and_in_a_call(engine: Engine) -> None:
    code = "import asyncio\nawait asyncio.sleep(0)\nprint(asyncio.run(asyncio.sleep(0, 'x')))"
    assert engine.execute(code)["stdout"] == "x\n"

    def run_there() -> int:
        import asyncio

        return asyncio.run(asyncio.sleep(0, 5))

    assert engine.apply(run_there) == 5


def test_runner_works(engine: Engine) -> None:
    code = (
        "import asyncio\n"
        "with asyncio.Runner() as runner:\n"
        "    print(runner.run(asyncio.sleep(0, 1)), runner.run(asyncio.sleep(0, 2)))"
    )
    assert engine.execute(code)["stdout"] == "1 2\n"


def test_an_error_leaves_the_kernels_loop_in_place(engine: Engine) -> None:
    code = "import asyncio\nasync def f(): 1/0\nasyncio.run(f())"
    assert engine.execute(code)["ename"] == "ZeroDivisionError"
    assert engine.execute("await asyncio.sleep(0)")["status"] == "ok"


def test_nested_runs_stay_forbidden_as_everywhere(engine: Engine) -> None:
    code = "import asyncio\nasync def f(): asyncio.run(asyncio.sleep(0))\nasyncio.run(f())"
    assert engine.execute(code)["ename"] == "RuntimeError"


def test_tasks_of_a_plain_cell_run_on_the_kernels_loop(engine: Engine) -> None:
    engine.execute("import asyncio\nasync def f(): return 'done'\ntask = asyncio.create_task(f())")
    assert engine.execute("print(await task)")["stdout"] == "done\n"


def test_nest_asyncio_is_harmless(start_engine: Callable[..., Engine]) -> None:
    engine = start_engine()
    engine.execute("import sys")
    assert engine.value("'nest_asyncio2' in sys.modules") is False
    assert engine.execute("import nest_asyncio; nest_asyncio.apply()")["status"] == "ok"
    code = (
        "import asyncio\n"
        "async def f(): return 1\n"
        "print(asyncio.get_event_loop().run_until_complete(f()), asyncio.run(f()))"
    )
    assert engine.execute(code)["stdout"] == "1 1\n"
    # queued while a nested loop runs: none is lost
    nested = "import asyncio\nasyncio.get_event_loop().run_until_complete(asyncio.sleep(0.1))"
    sent = [engine.send("fleet_execute_request", {"code": nested}) for _ in range(5)]
    sent += [engine.send("fleet_execute_request", {"code": "await asyncio.sleep(0)"})]
    replies = [engine.receive() for _ in sent]
    assert [reply["parent_header"]["msg_id"] for reply in replies] == sent
    assert all(reply["content"]["status"] == "ok" for reply in replies)
    nested_run = "async def g(): return asyncio.run(f())\nprint(asyncio.run(g()))"
    assert engine.execute(nested_run)["stdout"] == "1\n"


INTERRUPTED_AS_IT_BEGINS = """
import asyncio, functools, signal

set_handler = signal.signal
def set_and_be_interrupted(signum, handler):
    before = set_handler(signum, handler)
    if isinstance(handler, functools.partial):  # the runner's own
        signal.raise_signal(signum)
    return before

signal.signal = set_and_be_interrupted
try:
    asyncio.run(asyncio.sleep(60))
except BaseException as error:
    raised = type(error).__name__
finally:
    signal.signal = set_handler
"""


def test_a_run_that_is_interrupted_as_it_begins_says_so(engine: Engine) -> None:
    assert engine.execute(INTERRUPTED_AS_IT_BEGINS)["status"] == "ok"
    assert engine.pull("raised") == ["KeyboardInterrupt"]
    assert engine.execute("import asyncio; asyncio.run(asyncio.sleep(0))")["status"] == "ok"


def test_interrupts_while_a_run_ends_leave_the_cells_own_handler_in_place(engine: Engine) -> None:
    code = (
        "import asyncio, signal\n"
        "await asyncio.sleep(0)\n"
        "usual, before, hits = signal.signal, signal.getsignal(signal.SIGINT), [3]\n"
        "def interrupted(number, handler):\n"
        "    if handler is before and hits[0]:\n"
        "        hits[0] -= 1\n"
        "        raise KeyboardInterrupt\n"
        "    return usual(number, handler)\n"
        "signal.signal = interrupted\n"
        "value = asyncio.run(asyncio.sleep(0, 5))\n"
        "signal.signal = usual\n"
        "print(value, hits, signal.getsignal(signal.SIGINT) is before)"
    )
    assert engine.execute(code)["stdout"] == "5 [0] True\n"
