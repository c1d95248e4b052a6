"""Section 6: CompositeError, its members and how they look."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.error import UsageError

from kernelfleet import (
    CompositeError,
    EngineDied,
    MultiEngineClient,
    PendingResult,
    QueueCleared,
    RemoteError,
)
from tests.conformance.expect import failing
from tests.gate import Gate
from tests.promises import promise


class MyError(Exception):
    """Of the caller's notebook."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text, code)
        self.code = code


def fail(mec: MultiEngineClient, code: str, **options: Any) -> CompositeError:
    with pytest.raises(CompositeError) as caught:
        mec.execute(code, **options)
    return caught.value


@promise("6: str(CompositeError) names the method and lists the errors, [i:execute] each")
def test_str_is_as_in_the_seeds(mec: MultiEngineClient) -> None:
    assert str(fail(mec, "1/0", targets=[0, 1])) == (
        "one or more exceptions from call to method: execute\n"
        "[0:execute]: ZeroDivisionError: division by zero\n"
        "[1:execute]: ZeroDivisionError: division by zero"
    )


@promise("6: only failing engines are listed, in target order")
def test_only_failing_engines_are_listed(mec: MultiEngineClient) -> None:
    error = fail(mec, "1 / (engine_id % 2)", targets=[3, 2, 1, 0])
    assert str(error).splitlines()[1:] == [
        "[2:execute]: ZeroDivisionError: division by zero",
        "[0:execute]: ZeroDivisionError: division by zero",
    ]


@promise("6: message is the first line, elist a list of (type, value, traceback)")
def test_message_and_elist(mec: MultiEngineClient) -> None:
    error = fail(mec, "def broken():\n    return 1/0\nbroken()", targets=[0, 2])
    assert error.message == "one or more exceptions from call to method: execute"
    assert isinstance(error.elist, list)
    for kind, value, traceback in error.elist:
        assert kind is ZeroDivisionError
        assert isinstance(value, ZeroDivisionError)
        assert "in broken()" in traceback
        assert "return 1/0" in traceback
        assert "\x1b" not in traceback


@promise("6: raise_exception(excid=0) raises the original; a bad index is an IndexError")
def test_raise_exception(mec: MultiEngineClient) -> None:
    error = fail(mec, "1/0 if engine_id == 1 else int('x')", targets=[0, 1])
    with pytest.raises(ValueError, match="invalid literal"):
        error.raise_exception()
    with pytest.raises(ZeroDivisionError):
        error.raise_exception(1)
    with pytest.raises(ZeroDivisionError):
        error.raise_exception(excid=1)
    with pytest.raises(IndexError, match="2"):
        error.raise_exception(2)


@promise("6: print_tracebacks(excid=None) prints tag, the user's frames and source, a blank line")
def test_print_tracebacks(mec: MultiEngineClient, capsys: pytest.CaptureFixture[str]) -> None:
    error = fail(mec, "def broken():\n    return 1/0\nbroken()", targets=[0, 3])
    error.print_tracebacks()
    text = capsys.readouterr().out
    first, second = text.split("[3:execute]: \n")
    assert first.startswith("[0:execute]: \n")
    for part in (first, second):
        assert "----> 2     return 1/0" in part
        assert part.endswith("ZeroDivisionError: division by zero\n\n")
        assert "kernelfleet" not in part
    error.print_tracebacks(1)
    assert capsys.readouterr().out == "[3:execute]: \n" + second
    with pytest.raises(IndexError):
        error.print_tracebacks(2)


@promise("6: an empty error text leaves no colon behind")
def test_an_error_without_text(mec: MultiEngineClient) -> None:
    assert str(fail(mec, "assert 0", targets=0)).splitlines()[1] == "[0:execute]: AssertionError"


@promise("6: it is an ExceptionGroup: except* works")
def test_except_star_picks_by_type(mec: MultiEngineClient) -> None:
    seen: list[Any] = []
    try:
        mec.execute("1/0 if engine_id else int('x')", targets=[0, 1, 2])
    except* ZeroDivisionError as group:
        seen.append([failure.engine_id for failure in group.failures])  # type: ignore[attr-defined]
    except* ValueError as group:
        seen.append([failure.engine_id for failure in group.failures])  # type: ignore[attr-defined]
    assert seen == [[1, 2], [0]]


@promise("6: derive is kept: a part of it is a CompositeError with its engines")
def test_a_split_group_is_a_composite_error(mec: MultiEngineClient) -> None:
    error = fail(mec, "1/0 if engine_id else int('x')", targets=[0, 1])
    matched, rest = error.split(ZeroDivisionError)
    assert isinstance(matched, CompositeError)
    assert isinstance(rest, CompositeError)
    assert str(matched).splitlines()[1:] == ["[1:execute]: ZeroDivisionError: division by zero"]
    assert str(rest).splitlines()[1].startswith("[0:execute]: ValueError")


@promise("6: results is a dict of what succeeded: engine id -> value")
def test_results_of_the_good_engines_are_kept(mec: MultiEngineClient) -> None:
    error = fail(mec, "print(1 / engine_id)")
    assert {i: result.stdout for i, result in error.results.items()} == {
        1: "1.0\n", 2: "0.5\n", 3: f"{1 / 3}\n",
    }  # fmt: skip
    mec.push({"a": 5}, targets=[1, 2])
    with failing(NameError, engines=[0, 3], method="pull") as caught:
        mec.pull("a")
    assert caught.value.results == {1: 5, 2: 5}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("x_is_missing", NameError),
        ("a b", SyntaxError),
        ("if 1:\n1", IndentationError),
        ("{}['k']", KeyError),
        ("open('/nowhere/at/all')", FileNotFoundError),
        ("b'\\xff'.decode()", UnicodeDecodeError),
        ("import no_such_module_anywhere", ModuleNotFoundError),
        ("raise StopIteration(3)", StopIteration),
        ("raise TimeoutError('late')", TimeoutError),
        ("raise ExceptionGroup('g', [ValueError(1)])", ExceptionGroup),
        ("import json; json.loads('{')", ValueError),
        ("%no_such_line_magic", UsageError),
    ],
)
@promise("6: exceptions come back as their own type")
def test_exceptions_keep_their_type(mec: MultiEngineClient, code: str, kind: type) -> None:
    (error,) = fail(mec, code, targets=0).exceptions
    assert isinstance(error, kind)
    assert not isinstance(error, RemoteError)


@promise("6: exceptions come back as their own type, with what caused them")
@pytest.mark.parametrize("method", ["execute", "apply", "map"])
def test_an_error_brings_its_cause(mec: MultiEngineClient, method: str) -> None:
    def f(_: object = 0) -> None:
        try:
            dict[str, int]()["a"]
        except KeyError as cause:
            raise ValueError("bad") from cause

    mec.push({"f": f})
    calls: dict[str, Callable[[], object]] = {
        "execute": lambda: mec.execute("f()", targets=0),
        "apply": lambda: mec.apply(f, targets=0),
        "map": lambda: mec.map(f, [1]),
    }
    with pytest.raises(CompositeError) as caught:
        calls[method]()
    (error,) = caught.value.exceptions
    assert repr(error) == "ValueError('bad')"
    assert repr(error.__cause__) == "KeyError('a')"


@promise("6: a class of the caller's comes back as itself, with its attributes")
def test_a_class_of_the_caller_comes_back_as_itself(mec: MultiEngineClient) -> None:
    def raise_it() -> None:
        raise MyError("boom", 7)

    with failing(MyError, engines=[1], method="apply") as caught:
        mec.apply(raise_it, targets=1)
    (error,) = caught.value.exceptions
    assert type(error) is MyError
    assert error.code == 7
    mec.push({"MyError": MyError})
    with failing(MyError, engines=[0]):
        mec.execute("raise MyError('boom', 3)", targets=0)


class OfItsOwnMaking(Exception):
    """Its ``__init__`` takes other arguments than its ``args`` are."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


@promise("7: an exception whose __init__ takes other arguments than its args arrives as itself")
@pytest.mark.parametrize("method", ["execute", "apply", "map", "pull", "executor"])
def test_an_error_with_an_init_of_its_own_is_caught_by_its_class(
    mec: MultiEngineClient, method: str
) -> None:
    def f(_: object = 0) -> None:
        error = OfItsOwnMaking(4, "x")
        error.add_note("a note")
        raise error from OfItsOwnMaking(5, "y")

    mec.push({"f": f, "error": OfItsOwnMaking(4, "x")}, targets=0)
    caught: list[Any] = []
    if method == "pull":
        caught = mec.pull("error", targets=0)
    elif method == "executor":
        with mec.executor() as pool:
            caught.append(pool.submit(f).exception(20))
    else:
        calls: dict[str, Callable[[], object]] = {
            "execute": lambda: mec.execute("f()", targets=0),
            "apply": lambda: mec.apply(f, targets=0),
            "map": lambda: mec.map(f, [1]),
        }
        try:
            calls[method]()
        except* OfItsOwnMaking as group:
            caught.extend(group.exceptions)
    (error,) = caught
    assert (type(error), error.code, error.text) == (OfItsOwnMaking, 4, "x")
    if method != "pull":
        assert error.__notes__[0] == "a note"
        assert error.__cause__.code == 5


@promise("6: a class that does not exist here comes as RemoteError, [0:execute]: ThatClass: boom")
def test_a_class_of_the_engines_comes_as_remote_error(mec: MultiEngineClient) -> None:
    error = fail(mec, "class ThatClass(Exception):\n    pass\nraise ThatClass('boom')", targets=0)
    (member,) = error.exceptions
    assert isinstance(member, RemoteError)
    assert (member.ename, member.evalue, member.engine_id) == ("ThatClass", "boom", 0)
    assert str(error).splitlines()[1] == "[0:execute]: ThatClass: boom"
    assert any("ThatClass" in line for line in member.remote_traceback)


@promise("6: an exception that cannot be pickled keeps its type if it is a builtin, and its text")
def test_an_exception_that_cannot_travel(mec: MultiEngineClient) -> None:
    code = "import threading\nraise ValueError('held', threading.Lock())"
    (member,) = fail(mec, code, targets=0).exceptions
    assert isinstance(member, ValueError)
    assert str(member).startswith("('held', <unlocked _thread.lock")
    assert any("ValueError" in line for line in member.remote_traceback)  # type: ignore[attr-defined]
    code = "class Odd(Exception): pass\nraise Odd(threading.Lock())"
    (member,) = fail(mec, code, targets=0).exceptions
    assert isinstance(member, RemoteError)
    assert member.ename == "Odd"


@pytest.mark.parametrize("code", ["raise KeyboardInterrupt", "import sys; sys.exit(3)"])
@promise("6: KeyboardInterrupt and SystemExit on an engine arrive as RemoteError")
def test_an_engines_interrupt_never_ends_the_caller(mec: MultiEngineClient, code: str) -> None:
    (member,) = fail(mec, code, targets=1).exceptions
    assert isinstance(member, RemoteError)
    assert member.ename in {"KeyboardInterrupt", "SystemExit"}
    assert len(mec.execute("a = 1")) == 4


@promise("6: exit() in a cell ends the engine: EngineDied")
def test_exit_ends_the_engine(mec: MultiEngineClient) -> None:
    with failing(EngineDied, engines=[2]) as caught:
        mec.execute("exit()", targets=2)
    assert str(caught.value).splitlines()[1].startswith("[2:Engine Exception]: EngineDied: ")
    assert mec.get_ids() == [0, 1, 3]


@pytest.mark.parametrize(
    ("call", "tag"),
    [
        (lambda mec: mec.execute("1/0", 0), "[0:execute]: ZeroDivisionError"),
        (lambda mec: mec.pull("x", 0), "[0:pull]: NameError"),
        (lambda mec: mec.zip_pull(("x", "y"), 0), "[0:zip_pull]: NameError"),
        (lambda mec: mec.pull_function("x", 0), "[0:pull_function]: NameError"),
        (lambda mec: mec.gather("x", 0), "[0:gather]: NameError"),
        (lambda mec: mec.peek("x", 0), "[0:peek]: NameError"),
        (lambda mec: mec.apply(int, "x", targets=0), "[0:apply]: ValueError"),
        (lambda mec: mec.get_result(99, 0), "[0:get_result]: IndexError"),
        (lambda mec: mec.get_properties("x", 0), "[0:get_properties]: KeyError"),
    ],
)
@promise("6: tags name the engine and the verb")
def test_tags_name_the_verb(mec: MultiEngineClient, call: Any, tag: str) -> None:
    with pytest.raises(CompositeError) as caught:
        call(mec)
    assert str(caught.value).splitlines()[1].startswith(tag)


@promise("6: what did not come from user code is listed as [i:Engine Exception]")
def test_engine_exceptions_have_their_own_tag(mec: MultiEngineClient, gate: Gate) -> None:
    running = mec.execute(gate.code, targets=0, block=False)
    gate.entered()
    waiting = mec.execute("1", targets=0, block=False)
    mec.clear_queue()
    error = waiting.exception()
    gate.open()
    mec.barrier(running)
    assert isinstance(error, CompositeError)
    assert isinstance(error.exceptions[0], QueueCleared)
    assert str(error).splitlines()[1].startswith("[0:Engine Exception]: QueueCleared: ")


@pytest.mark.parametrize("block", [True, False])
@promise("6: %debug after a CompositeError lands in a frame where e is the exception")
def test_the_innermost_frame_knows_the_error_as_e(mec: MultiEngineClient, block: bool) -> None:
    def call() -> Any:
        return mec.execute("1/0") if block else mec.execute("1/0", block=False).r

    with pytest.raises(CompositeError) as caught:
        call()
    traceback = caught.value.__traceback__
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_locals["e"] is caught.value


@promise("6: errors survive pickling")
def test_an_error_survives_pickling(mec: MultiEngineClient) -> None:
    error = fail(mec, "1 / engine_id")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.elist[0][2] == error.elist[0][2]
    assert list(copy.results) == [1, 2, 3]


@promise("6: Ctrl-C in a blocking call interrupts its engines and raises KeyboardInterrupt")
def test_ctrl_c_interrupts_the_engines_of_the_call(mec: MultiEngineClient, gate: Gate) -> None:
    def press_ctrl_c() -> None:
        gate.entered(2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    finger = threading.Thread(target=press_ctrl_c)
    finger.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        mec.execute(gate.code, targets=[1, 3])
    finger.join()
    assert any("engines interrupted: 1, 3" in note for note in caught.value.__notes__)
    pending = caught.value.pending_result  # type: ignore[attr-defined]
    assert isinstance(pending, PendingResult)
    with failing(RemoteError, engines=[1, 3], match="^KeyboardInterrupt$"):
        pending.result(timeout=20)
    assert mec.apply(os.getpid, timeout=20)
