from __future__ import annotations

import asyncio
import threading
from typing import Any

from kernelfleet.errors import SerializationError
from kernelfleet.wire.objects.serialize import unpack
from tests.engine.driver import Engine


class MyError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def add(a: int, b: int = 0, *, c: int = 0) -> int:
    return a + b + c


def fail(x: int) -> float:
    return 1 / x


def fail_my_way() -> None:
    raise MyError(7)


async def wait_and_add(a: int, b: int) -> int:
    await asyncio.sleep(0.01)
    return a + b


def test_arguments_and_results_travel(engine: Engine) -> None:
    assert engine.apply(add, 1, 2, c=3) == 6
    assert engine.apply(len, "abc") == 3


def test_an_async_function_is_awaited(engine: Engine) -> None:
    assert engine.apply(wait_and_add, 1, 2) == 3


def test_an_async_functions_error_is_its_own(engine: Engine) -> None:
    async def wrong() -> None:
        await asyncio.sleep(0)
        raise KeyError("k")

    assert engine.ask_apply(wrong)["content"]["ename"] == "KeyError"


def test_a_stop_iteration_is_told_as_what_it_is(engine: Engine) -> None:
    reply = engine.ask_apply(next, iter(()))
    assert reply["content"]["ename"] == "StopIteration"
    assert isinstance(unpack(reply["buffers"]), StopIteration)


def test_the_traceback_shows_the_users_lines_and_no_others(engine: Engine) -> None:
    reply = engine.ask_apply(fail, 0)
    text = "\n".join(reply["content"]["traceback"])
    assert "test_calls.py" in text
    assert "engine/running/calls.py" not in text
    assert "engine/running/interrupts.py" not in text
    assert reply["content"]["kind"] == "user"
    assert isinstance(unpack(reply["buffers"]), ZeroDivisionError)


def test_a_cells_source_lines_travel_with_its_functions(engine: Engine) -> None:
    import linecache

    source = "def broken(x):\n    return x.no_such_attribute_here\n"
    linecache.cache["<ipython-input-1-abc>"] = (
        len(source),
        None,
        source.splitlines(keepends=True),
        "<ipython-input-1-abc>",
    )
    main: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<ipython-input-1-abc>", "exec"), main)
    text = "\n".join(engine.ask_apply(main["broken"], 1)["content"]["traceback"])
    assert "no_such_attribute_here" in text.split("AttributeError")[1]


def test_an_exception_of_the_callers_own_class_comes_home(engine: Engine) -> None:
    error = unpack(engine.ask_apply(fail_my_way)["buffers"])
    assert type(error) is MyError
    assert error.code == 7


def test_a_result_that_cannot_be_pickled_is_a_serialization_error(engine: Engine) -> None:
    reply = engine.ask_apply(threading.Lock)
    assert reply["content"]["kind"] == "serialization"
    assert reply["content"]["ename"] == "SerializationError"
    assert isinstance(unpack(reply["buffers"]), SerializationError)


def test_a_call_uses_no_number(engine: Engine) -> None:
    engine.apply(add, 1)
    assert engine.execute("1")["number"] == 1
