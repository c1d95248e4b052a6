from __future__ import annotations

from kernelfleet.errors.text import without_colours
from kernelfleet.wire.objects.serialize import unpack
from tests.engine.driver import Engine


def test_a_cell_prints_and_is_numbered(engine: Engine) -> None:
    done = engine.execute("print('hello')")
    assert done["status"] == "ok"
    assert (done["stdout"], done["number"], done["exiting"]) == ("hello\n", 1, False)
    assert engine.execute("a = 1")["number"] == 2


def test_every_execute_uses_one_number_also_failing_and_blank_ones(engine: Engine) -> None:
    numbers = [engine.execute(code)["number"] for code in ("1/0", "", "  \n", "x =", "1")]
    assert numbers == [1, 2, 3, 4, 5]


def test_times_are_reported(engine: Engine) -> None:
    done = engine.execute("import time; time.sleep(0.05)")
    assert 0.05 <= done["completed"] - done["started"] < 5


def test_translated_comes_only_where_ipython_changed_something(engine: Engine) -> None:
    assert "translated" not in engine.execute("a = 1")
    assert "translated" not in engine.execute("def f():\n    return 1\n")
    assert engine.execute("%time 1")["translated"] == ("get_ipython().run_line_magic('time', '1')")


def test_magics_and_shell_commands_work(engine: Engine) -> None:
    assert engine.execute("!echo from the shell")["stdout"].strip() == "from the shell"
    assert engine.execute("x = !echo caught\nprint(x[0])")["stdout"] == "caught\n"
    assert "Wall time" in engine.execute("%%time\nsum(range(10))")["stdout"]


def test_the_last_expression_is_an_execute_result(engine: Engine) -> None:
    done = engine.execute("6 * 7")
    (message,) = done["messages"]
    assert message["msg_type"] == "execute_result"
    assert message["content"]["data"]["text/plain"] == "42"
    assert message["content"]["execution_count"] == done["number"] == 1


def test_rich_output_is_published(engine: Engine) -> None:
    done = engine.execute("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))")
    (message,) = done["messages"]
    assert message["msg_type"] == "display_data"
    assert message["content"]["data"]["text/html"] == "<b>x</b>"


def test_the_reply_brings_the_exception_and_its_traceback(engine: Engine) -> None:
    done = engine.execute("d = {}\nd['key']")
    assert (done["status"], done["ename"], done["evalue"]) == ("error", "KeyError", "'key'")
    assert done["kind"] == "user"
    assert "d[\x1b" in "".join(done["traceback"]) or "d['key']" in "".join(done["traceback"])
    error = unpack(done["buffers"])
    assert type(error) is KeyError
    assert error.args == ("key",)
    assert [message["msg_type"] for message in done["messages"]] == ["error"]


def test_syntax_errors_and_failing_transformations_are_errors(engine: Engine) -> None:
    assert engine.execute("x = ")["ename"] == "SyntaxError"
    assert engine.execute("if True:\nprint(1)")["ename"] == "IndentationError"
    assert engine.execute("%nosuchmagic")["ename"] == "UsageError"


def test_what_ran_before_an_error_has_its_effects(engine: Engine) -> None:
    done = engine.execute("a = 1\nprint('before')\n1/0\na = 2")
    assert done["stdout"] == "before\n"
    assert engine.pull("a") == [1]


def test_a_broken_repr_is_an_error_with_the_real_exception(engine: Engine) -> None:
    engine.execute("class Broken:\n    def __repr__(self): raise ValueError('no repr')")
    done = engine.execute("Broken()")
    assert (done["status"], done["ename"], done["evalue"]) == ("error", "ValueError", "no repr")
    assert isinstance(unpack(done["buffers"]), ValueError)
    assert engine.execute("1")["status"] == "ok"


def test_sys_exit_is_just_an_error(engine: Engine) -> None:
    done = engine.execute("import sys; sys.exit(3)")
    assert (done["status"], done["ename"], done["evalue"]) == ("error", "SystemExit", "3")
    assert done["buffers"] == []
    assert engine.execute("print(1)")["stdout"] == "1\n"


def test_an_exception_group_has_a_traceback_too(engine: Engine) -> None:
    done = engine.execute("raise ExceptionGroup('several', [ValueError('one')])")
    assert done["ename"] == "ExceptionGroup"
    assert "ValueError: one" in "\n".join(done["traceback"])


def test_an_exception_that_cannot_be_pickled_comes_without_buffers(engine: Engine) -> None:
    code = "import threading\nraise ValueError(threading.Lock())"
    done = engine.execute(code)
    assert (done["ename"], done["buffers"]) == ("ValueError", [])


def test_an_error_whose_text_fails_is_still_reported(engine: Engine) -> None:
    code = "class Odd(Exception):\n    def __str__(self): raise RuntimeError\nraise Odd"
    for cell in (code, f"await __import__('asyncio').sleep(0)\n{code}"):
        done = engine.execute(cell)
        assert (done["ename"], done["evalue"]) == ("Odd", "<Odd whose __str__ fails>")
        assert "raise Odd" in without_colours("\n".join(done["traceback"]))
    assert engine.execute("1")["status"] == "ok"


def test_top_level_await_works(engine: Engine) -> None:
    done = engine.execute("import asyncio\nx = await asyncio.sleep(0.01, 'slept')\nprint(x)")
    assert (done["status"], done["stdout"]) == ("ok", "slept\n")
    done = engine.execute("await asyncio.sleep(0)\n1/0")
    assert done["ename"] == "ZeroDivisionError"
    assert engine.execute("async with asyncio.Lock() as l: print('in')")["stdout"] == "in\n"


def test_an_awaiting_cell_that_cancels_itself_is_a_cancelled_error(engine: Engine) -> None:
    done = engine.execute("import asyncio\nasyncio.current_task().cancel()\nawait asyncio.sleep(1)")
    assert done["ename"] == "CancelledError"


def test_a_pager_shows_its_text(engine: Engine) -> None:
    done = engine.execute("len?")
    (message,) = done["messages"]
    assert "number of items" in message["content"]["data"]["text/plain"]


def test_post_run_events_fire(engine: Engine) -> None:
    engine.execute(
        "seen = []\n"
        "def note(result): seen.append(result.success)\n"
        "get_ipython().events.register('post_run_cell', note)"
    )
    engine.execute("1/0")
    engine.execute("import asyncio\nawait asyncio.sleep(0)")
    engine.execute("get_ipython().events.unregister('post_run_cell', note)")
    assert engine.pull("seen") == [[True, False, True]]


def test_input_without_stdin_is_an_error(engine: Engine) -> None:
    assert engine.execute("input('?')")["ename"] == "StdinNotImplementedError"


def test_input_asks_the_one_who_allows_it(start_engine: object) -> None:
    assert callable(start_engine)
    engine: Engine = start_engine()
    engine.context.destroy(linger=0)
    engine.context = type(engine.context)()
    import zmq

    # one routing id on shell and stdin, as the protocol demands
    engine.shell = engine.context.socket(zmq.DEALER)
    engine.stdin = engine.context.socket(zmq.DEALER)
    connected = engine.stdin.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    for socket, port in ((engine.shell, 1), (engine.stdin, 3)):
        socket.linger = 0
        socket.routing_id = b"me"
        socket.connect(f"ipc://{engine.connection_file}-ipc-{port}")
    engine.iopub = engine.connect(zmq.SUB, "iopub_port")
    assert connected.poll(10_000)  # a router drops what is for a peer that is not there yet
    engine.stdin.disable_monitor()
    connected.close(linger=0)
    assert engine.value("1") == 1  # by then the other side has ended the handshake as well
    sent = engine.send(
        "fleet_execute_request", {"code": "name = input('who? ')", "allow_stdin": True}
    )
    request = engine.receive(engine.stdin)
    assert request["content"]["prompt"] == "who? "
    engine.send("input_reply", {"value": "me"}, socket=engine.stdin)
    assert engine.reply_to(sent)["content"]["status"] == "ok"
    assert engine.pull("name") == ["me"]


def test_exit_asks_to_leave_and_keeps_the_engine_if_told_so(engine: Engine) -> None:
    assert engine.execute("exit(keep_kernel=True)")["exiting"] is False
    assert engine.execute("1")["status"] == "ok"


def test_the_code_of_past_cells_is_not_kept_for_a_database_that_is_off(engine: Engine) -> None:
    for i in range(5):
        engine.execute(f"x = {i}")
    engine.execute(" ")
    assert engine.value("get_ipython().history_manager.enabled") is False
    assert engine.value("get_ipython().history_manager.db_input_cache") == []


def test_an_error_is_rendered_once_and_stored_as_it_was_shown(engine: Engine) -> None:
    engine.execute(
        "rendered = []; tb = get_ipython().InteractiveTB; usual = tb.structured_traceback\n"
        "tb.structured_traceback = lambda *a, **k: rendered.append(usual(*a, **k)) or rendered[-1]"
    )
    try:
        failed = engine.execute("1 / 0")
        stored = engine.value(f"get_ipython().history_manager.exceptions[{failed['number']}]")
        assert engine.value("len(rendered)") == 1
    finally:
        engine.execute("tb.structured_traceback = usual")
    assert stored["traceback"] == failed["traceback"]
    assert (stored["ename"], stored["evalue"]) == ("ZeroDivisionError", "division by zero")
