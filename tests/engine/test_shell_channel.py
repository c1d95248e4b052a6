"""shell_channel.py: messages are served in place, in order, and the event loop goes on turning."""

from __future__ import annotations

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
