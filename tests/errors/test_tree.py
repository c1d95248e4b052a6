"""errors/tree.py, errors/composite.py, errors/text.py: what is raised, how it reads, and that it
travels."""

import copy
import io
import pickle
import subprocess
import sys
import textwrap
import traceback
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

import kernelfleet.errors as errors_module
from kernelfleet.errors import (
    CallTimeout,
    CompositeError,
    ControllerUnreachable,
    EngineDied,
    EngineError,
    Failure,
    FleetError,
    FleetStopped,
    InvalidEngineID,
    InvalidProperty,
    MessageTooLarge,
    NotAPendingResult,
    QueueCleared,
    RemoteError,
    SerializationError,
    ValueGone,
    error_text,
    restore_error,
)
from kernelfleet.errors.text import describe_death, format_ids
from kernelfleet.wire.objects.exceptions import freeze_error, thaw_error

RED = "\x1b[31m"
PLAIN = "\x1b[0m"


def engine_traceback(number: int = 1, source: str = "1/0") -> list[str]:
    return [
        f"{RED}{'-' * 20}{PLAIN}",
        f"{RED}ZeroDivisionError{PLAIN}     Traceback (most recent call last)",
        f"{RED}Cell In[{number}], line 1{PLAIN}\n----> 1 {source}",
        f"{RED}ZeroDivisionError{PLAIN}: division by zero",
    ]


def divided(*ids: int) -> list[Failure]:
    """What each of these engines says to ``1/0``; each is at another In[number]."""
    return [Failure(i, ZeroDivisionError("division by zero"), engine_traceback(i + 1)) for i in ids]


class PickyError(Exception):
    """Its pickle does not load."""

    def __reduce__(self) -> tuple[object, ...]:
        return PickyError.__new__, ()


class ForbiddingError(Exception):
    """Like a frozen dataclass: no attribute can be set."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class WordlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def simple_errors() -> list[FleetError]:
    """One of each class, with every attribute set."""
    special: dict[type[FleetError], FleetError] = {
        SerializationError: SerializationError("cannot pickle", name="x"),
        RemoteError: RemoteError("ThatClass", "boom", ["line"], 3),
        EngineDied: EngineDied(1, None, 9),
        CallTimeout: CallTimeout("1 of 2 had arrived"),
    }
    classes = [
        each
        for each in vars(errors_module).values()
        if isinstance(each, type) and issubclass(each, FleetError)
    ]
    assert len(classes) == 23
    return [special.get(each) or each("a text") for each in classes]


@pytest.mark.parametrize("error", simple_errors(), ids=lambda error: type(error).__name__)
def test_every_error_survives_pickling_and_copying_with_text_and_attributes(
    error: FleetError,
) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error) != ""
        assert vars(other) == vars(error)


@pytest.mark.parametrize(
    ("error", "also"),
    [
        (InvalidEngineID, ValueError),
        (InvalidProperty, ValueError),
        (MessageTooLarge, ValueError),
        (ValueGone, LookupError),
        (NotAPendingResult, TypeError),
        (SerializationError, TypeError),
        (CallTimeout, TimeoutError),
        (ControllerUnreachable, ConnectionError),
        (QueueCleared, EngineError),
        (FleetStopped, EngineError),
    ],
)
def test_errors_are_also_the_builtin_kind_that_python_has_for_them(
    error: type[FleetError], also: type[Exception]
) -> None:
    assert issubclass(error, also)
    assert issubclass(error, FleetError)


def test_the_tree_in_the_module_docstring_names_every_class() -> None:
    assert errors_module.__doc__ is not None
    for error in simple_errors():
        assert f" {type(error).__name__} " in errors_module.__doc__


def test_a_timeout_forgets_its_pending_result_when_pickled_but_not_its_id() -> None:
    class Pending:
        result_id = "r-1"

        def __reduce__(self) -> str:
            raise TypeError("holds a connection")

    error = CallTimeout("too late", pending_result=Pending())
    assert isinstance(error.pending_result, Pending)
    other = pickle.loads(pickle.dumps(error))
    assert other.pending_result is None
    assert other.result_id == "r-1"


def test_an_engine_died_error_says_how() -> None:
    assert str(EngineDied(1, signal=9)) == (
        "engine 1 died: killed by signal 9 (SIGKILL), probably out of memory"
    )
    assert str(EngineDied(2, exit_code=3)) == "engine 2 died: its process ended with exit code 3"
    assert str(EngineDied(2, how="its host is gone")) == "engine 2 died: its host is gone"
    assert describe_death(None, 99) == "killed by signal 99"
    assert describe_death(None, None) == "its process is gone"


def test_the_text_of_a_composite_error_is_that_of_the_seeds() -> None:
    error = CompositeError.collect("execute", divided(0, 1))
    assert error.message == "one or more exceptions from call to method: execute"
    assert str(error) == (
        "one or more exceptions from call to method: execute\n"
        "[0:execute]: ZeroDivisionError: division by zero\n"
        "[1:execute]: ZeroDivisionError: division by zero"
    )


def test_failures_are_listed_in_the_order_given() -> None:
    lines = str(CompositeError.collect("execute", divided(3, 1))).splitlines()
    assert [line[:3] for line in lines[1:]] == ["[3:", "[1:"]


def test_an_empty_error_text_leaves_no_colon_behind() -> None:
    error = CompositeError.collect("execute", [Failure(0, AssertionError()), *divided(1)])
    assert str(error).splitlines()[1] == "[0:execute]: AssertionError"
    assert error_text(RemoteError("KeyboardInterrupt")) == "KeyboardInterrupt"


def test_what_did_not_come_from_user_code_is_tagged_engine_exception() -> None:
    failures = [Failure(0, QueueCleared("cleared by In [3]")), Failure(1, EngineDied(1, 1))]
    assert str(CompositeError.collect("execute", failures)).splitlines()[1:] == [
        "[0:Engine Exception]: QueueCleared: cleared by In [3]",
        "[1:Engine Exception]: EngineDied: engine 1 died: its process ended with exit code 1",
    ]


def test_an_engine_error_raised_by_user_code_on_an_engine_keeps_the_verbs_tag() -> None:
    failure = Failure(0, EngineDied(5), engine_traceback(), "execute")
    assert failure.tag == "[0:execute]"


def test_a_remote_error_is_listed_under_the_name_it_has_there() -> None:
    failure = Failure(0, RemoteError("ThatClass", "boom"))
    assert str(CompositeError.collect("execute", [failure])).splitlines()[1] == (
        "[0:execute]: ThatClass: boom"
    )


def test_a_failure_may_have_a_verb_of_its_own() -> None:
    error = CompositeError.collect("gather", [Failure(0, NameError("x"), (), "pull")])
    assert str(error).splitlines() == [
        "one or more exceptions from call to method: gather",
        "[0:pull]: NameError: x",
    ]


def test_an_error_whose_text_fails_is_still_listed() -> None:
    error = CompositeError.collect("execute", [Failure(0, WordlessError())])
    assert str(error).endswith("[0:execute]: WordlessError: <WordlessError whose __str__ fails>")


def test_elist_holds_type_value_and_traceback() -> None:
    error = CompositeError.collect("execute", divided(0, 1))
    etype, value, text = error.elist[1]
    assert etype is ZeroDivisionError
    assert value is error.exceptions[1]
    assert "Cell In[2], line 1\n----> 1 1/0" in text
    assert "\x1b" not in text


def test_raise_exception_raises_the_original_with_its_engines_traceback() -> None:
    error = CompositeError.collect("execute", divided(0, 1))
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        error.raise_exception(1)
    assert caught.value is error.exceptions[1]
    assert "Cell In[2]" in "".join(traceback.format_exception(caught.value))


def test_raise_exception_leaves_no_group_in_the_context() -> None:
    try:
        raise CompositeError.collect("execute", divided(0))
    except CompositeError as error:
        with pytest.raises(ZeroDivisionError) as caught:
            error.raise_exception()
    assert caught.value.__context__ is None


@pytest.mark.parametrize("index", [2, -3, 10**6])
def test_a_bad_index_is_an_index_error_in_both(index: int) -> None:
    error = CompositeError.collect("execute", divided(0, 1))
    with pytest.raises(IndexError, match="there are 2"):
        error.raise_exception(index)
    with pytest.raises(IndexError, match=f"index {index} does not exist"):
        error.print_tracebacks(index)


def test_print_tracebacks_prints_tag_traceback_and_a_blank_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = CompositeError.collect("execute", divided(0, 1))
    error.print_tracebacks()
    blocks = [
        f"[{i}:execute]: \n"
        "--------------------\n"
        "ZeroDivisionError     Traceback (most recent call last)\n"
        f"Cell In[{i + 1}], line 1\n"
        "----> 1 1/0\n"
        "ZeroDivisionError: division by zero\n"
        "\n"
        for i in (0, 1)
    ]
    assert capsys.readouterr().out == "".join(blocks)
    error.print_tracebacks(1)
    assert capsys.readouterr().out == blocks[1]


def test_print_tracebacks_of_an_error_without_one_prints_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    CompositeError.collect("push", [Failure(4, QueueCleared("cleared"))]).print_tracebacks()
    assert capsys.readouterr().out == "[4:Engine Exception]: \nQueueCleared: cleared\n\n"


def test_print_tracebacks_keeps_colours_on_a_terminal_unless_told_not_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    error = CompositeError.collect("execute", divided(0))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", coloured := Terminal())
    error.print_tracebacks()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", plain := Terminal())
    error.print_tracebacks()
    assert RED in coloured.getvalue()
    assert "\x1b" not in plain.getvalue()


def test_except_star_and_split_give_composite_errors_that_list_only_their_members() -> None:
    failures = [*divided(0), Failure(1, NameError("x"), ["tb"]), *divided(2)]
    error = CompositeError.collect("execute", failures, {3: "fine"})
    seen: list[BaseException] = []
    try:
        raise error
    except* ZeroDivisionError as group:
        seen.append(group)
    except* NameError as group:
        seen.append(group)
    divisions, names = seen
    assert isinstance(divisions, CompositeError)
    assert str(divisions).splitlines()[1:] == [
        "[0:execute]: ZeroDivisionError: division by zero",
        "[2:execute]: ZeroDivisionError: division by zero",
    ]
    assert isinstance(names, CompositeError)
    assert str(names).splitlines()[1:] == ["[1:execute]: NameError: x"]
    assert names.results == {3: "fine"}
    assert names.elist == [(NameError, failures[1].exception, "tb")]


def test_a_group_raised_on_an_engine_keeps_its_tag_when_it_is_split() -> None:
    inner = ExceptionGroup("several", [ValueError("a"), TypeError("b")])
    error = CompositeError.collect("execute", [*divided(0), Failure(7, inner, ["tb"])])
    matched, rest = error.split(ValueError)
    assert isinstance(matched, CompositeError)
    assert isinstance(rest, CompositeError)
    assert [failure.engine_id for failure in matched.failures] == [7]
    assert [failure.tag for failure in rest.failures] == ["[0:execute]", "[7:execute]"]


def test_derive_with_a_foreign_exception_lists_it_without_an_engine() -> None:
    error = CompositeError.collect("execute", divided(0)).derive([ValueError("new")])
    assert str(error).splitlines()[1] == "[Engine Exception]: ValueError: new"


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_a_composite_error_survives_pickling(dumps: object) -> None:
    failures = [*divided(0, 1), Failure(2, EngineDied(2, signal=11))]
    error = CompositeError.collect("execute", failures, {3: [1, 2]})
    assert callable(dumps)
    other = pickle.loads(dumps(error))
    assert type(other) is CompositeError
    assert str(other) == str(error)
    assert other.results == {3: [1, 2]}
    assert [type(each) for each in other.exceptions] == [type(each) for each in error.exceptions]
    assert other.elist[0][2] == error.elist[0][2]
    assert getattr(other.exceptions[2], "signal", None) == 11
    assert other.exceptions[0].__notes__ == error.exceptions[0].__notes__
    assert str(copy.copy(error)) == str(error)


def test_a_member_that_cannot_be_pickled_becomes_a_remote_error_and_spoils_nothing() -> None:
    failures = [Failure(0, PickyError("a and b"), ["tb"]), *divided(1)]
    other = pickle.loads(pickle.dumps(CompositeError.collect("execute", failures)))
    assert str(other).splitlines()[1] == "[0:execute]: PickyError: a and b"
    assert isinstance(other.exceptions[0], RemoteError)
    assert other.exceptions[0].remote_traceback == ["tb"]
    assert isinstance(other.exceptions[1], ZeroDivisionError)


def test_an_error_of_a_class_that_is_gone_thaws_as_a_remote_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("a_module_of_the_engine")
    exec("class GoneError(Exception): pass", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    frozen = freeze_error(module.GoneError("boom"))
    assert type(thaw_error(frozen)) is module.GoneError
    monkeypatch.delitem(sys.modules, module.__name__)
    thawed = thaw_error(frozen)
    assert isinstance(thawed, RemoteError)
    assert str(thawed) == "GoneError: boom"


def test_an_unpicklable_error_freezes_to_a_remote_error_alone() -> None:
    frozen = freeze_error(ValueError(sys._getframe()))
    assert frozen[1] is None
    assert str(thaw_error(frozen)).startswith("ValueError: <frame")


def test_members_carry_their_engines_id_and_traceback() -> None:
    error = CompositeError.collect("execute", divided(0, 1))
    member: object = error.exceptions[1]
    assert getattr(member, "engine_id", None) == 1
    assert getattr(member, "remote_traceback", None) == engine_traceback(2)


def test_attributes_of_the_users_own_class_are_left_alone() -> None:
    own = ValueError("mine")
    own.engine_id = "V8"  # type: ignore[attr-defined]
    CompositeError.collect("execute", [Failure(3, own, ["tb"])])
    assert getattr(own, "engine_id", None) == "V8"


def test_a_class_that_forbids_attributes_is_no_obstacle() -> None:
    error = CompositeError.collect("execute", [Failure(0, ForbiddingError("x"), ["tb"])])
    assert error.elist[0][2] == "tb"
    with pytest.raises(ForbiddingError):
        error.raise_exception()


def test_a_display_shows_one_traceback_for_engines_that_failed_alike() -> None:
    failures = [*divided(0, 1, 2), Failure(3, QueueCleared("gone")), *divided(5)]
    error = CompositeError.collect("execute", failures)
    lines = error._render_traceback_()
    assert lines[0] == "[0-2,5:execute]: ZeroDivisionError: division by zero"
    assert sum("Cell In[" in line for line in lines) == 1
    assert RED in lines[1]
    assert "\n".join(lines[-6:]) == f"CompositeError: {error}"


def test_a_display_shows_each_traceback_that_differs() -> None:
    other = Failure(1, ZeroDivisionError("division by zero"), engine_traceback(1, "2/0"))
    lines = CompositeError.collect("execute", [*divided(0), other])._render_traceback_()
    assert sum("Cell In[" in line for line in lines) == 2


@pytest.mark.parametrize("count", [9, 16, 64])
def test_a_display_of_many_equal_failures_is_one_line_and_str_has_one_for_each(count: int) -> None:
    error = CompositeError.collect("execute", divided(*range(count)))
    *_, above, last = error._render_traceback_()
    assert above == "CompositeError: one or more exceptions from call to method: execute"
    assert last == f"[0-{count - 1}:execute]: ZeroDivisionError: division by zero"
    assert len(error._render_traceback_()) < 12
    assert len(str(error).splitlines()) == count + 1


def test_an_uncaught_error_shows_each_distinct_traceback_once() -> None:
    shown = "".join(traceback.format_exception(CompositeError.collect("execute", divided(0, 1, 2))))
    assert shown.count("----> 1 1/0") == 1
    assert "[0-2:execute]:" in shown
    assert shown.count("[1:execute]: ZeroDivisionError: division by zero") == 1
    assert "\x1b" not in shown
    assert "sub-exceptions" not in shown


def test_notes_are_not_added_twice() -> None:
    failures = divided(0, 1)
    for _ in range(3):
        error = CompositeError.collect("execute", failures)
    with pytest.raises(ZeroDivisionError):
        error.raise_exception()
    assert len(error.exceptions[0].__notes__) == 1


def test_restore_error_gives_the_original_with_what_the_engine_said() -> None:
    original = ZeroDivisionError("division by zero")
    info = {"ename": "ZeroDivisionError", "evalue": "x", "traceback": ["tb"], "engine_id": 2}
    restored = restore_error(info, original)
    assert restored is original
    assert getattr(restored, "remote_traceback", None) == ["tb"]
    assert getattr(restored, "engine_id", None) == 2


@pytest.mark.parametrize("exception", [None, KeyboardInterrupt("now"), SystemExit(3)])
def test_restore_error_never_gives_what_would_end_the_caller(
    exception: BaseException | None,
) -> None:
    info = {"ename": "ThatClass", "evalue": "boom", "traceback": ["tb"]}
    restored = restore_error(info, exception)
    assert isinstance(restored, RemoteError)
    assert str(restored) == "ThatClass: boom"
    assert restored.remote_traceback == ["tb"]
    assert str(restore_error({}, SystemExit(3))) == "SystemExit"


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([0, 1, 2, 3, 5], "0-3,5"),
        ([], ""),
        ([7], "7"),
        ([1, 0], "0-1"),
        ([0, 2, 4], "0,2,4"),
        ([2, 2, 3, 9, 10, 11], "2-3,9-11"),
    ],
)
def test_ids_are_written_as_ranges(ids: list[int], text: str) -> None:
    assert format_ids(ids) == text


def test_an_empty_composite_error_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="non-empty"):
        CompositeError.collect("execute", [])


def test_the_names_are_the_modules_own() -> None:
    assert CompositeError.__module__ == "kernelfleet.errors"
    with pytest.raises(AttributeError, match="no attribute 'Composite'"):
        _ = errors_module.Composite


def test_importing_the_errors_imports_neither_client_nor_controller() -> None:
    code = """
        import sys, kernelfleet.errors, kernelfleet.results
        assert not any(n.startswith(("kernelfleet.client", "kernelfleet.controller", "cloudpickle"))
                       for n in sys.modules), sorted(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_raising_an_exception_twice_does_not_add_to_its_traceback() -> None:
    error = CompositeError.collect("execute", divided(0))

    def frames() -> int:
        with pytest.raises(ZeroDivisionError) as caught:
            error.raise_exception()
        return len(traceback.extract_tb(caught.value.__traceback__))

    assert frames() == frames()


def test_equal_errors_of_two_verbs_stay_two() -> None:
    failures = [
        Failure(0, ValueError("no"), method="push"),
        Failure(1, ValueError("no"), method="execute"),
        Failure(2, ValueError("no"), method="push"),
    ]
    error = CompositeError.collect("mixed", failures)
    assert error.grouped_lines() == ["[0,2:push]: ValueError: no", "[1:execute]: ValueError: no"]


def test_notes_and_attributes_of_a_composite_error_survive_pickling() -> None:
    error = CompositeError.collect("execute", divided(0, 1))
    error.add_note("while the model was fitted")
    error.where = "cell 3"  # type: ignore[attr-defined]
    others: list[Any] = [pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)]
    for again in others:
        assert again.__notes__ == ["while the model was fitted"]
        assert again.where == "cell 3"


def test_an_error_without_a_traceback_has_no_heading_of_its_own() -> None:
    error = CompositeError.collect("execute", [Failure(1, ValueError("no"))])
    assert error._render_traceback_() == [
        "CompositeError: one or more exceptions from call to method: execute",
        "[1:execute]: ValueError: no",
    ]


def test_the_last_count_that_is_listed_one_by_one_is_eight() -> None:
    eight = CompositeError.collect("execute", [Failure(i, ValueError("no")) for i in range(8)])
    assert len(eight._render_traceback_()) == 1 + 8
    nine = CompositeError.collect("execute", [Failure(i, ValueError("no")) for i in range(9)])
    assert nine._render_traceback_()[1:] == ["[0-8:execute]: ValueError: no"]


def test_the_results_of_a_composite_error_are_its_own() -> None:
    succeeded = {0: "value"}
    error = CompositeError.collect("push", [Failure(1, ValueError("no"))], succeeded)
    succeeded.clear()
    assert error.results == {0: "value"}
    assert CompositeError.collect("push", [Failure(1, ValueError("no"))]).results == {}


def test_a_remote_error_freezes_as_it_is_with_its_traceback() -> None:
    error = RemoteError("ValueError", "no", ["line 1"], 3)
    again = thaw_error(freeze_error(error))
    assert isinstance(again, RemoteError)
    assert (str(again), again.remote_traceback, again.engine_id) == (str(error), ["line 1"], 3)


def test_failures_that_belong_to_no_engine_are_grouped_without_ids() -> None:
    error = CompositeError.collect("push", [Failure(None, ValueError("no"))] * 2)
    assert error.grouped_lines() == ["[push]: ValueError: no"]
    mixed = CompositeError.collect("push", [Failure(None, ValueError("no")), *divided(3)])
    assert mixed.grouped_lines()[1] == "[3:push]: ZeroDivisionError: division by zero"
