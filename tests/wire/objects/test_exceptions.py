"""Exceptions arrive as themselves, whatever their ``__init__`` takes, with all they have."""

from __future__ import annotations

import copyreg
import dataclasses
import io
import pickle
import threading
import urllib.error
from email.message import Message
from typing import Any

import pytest

from kernelfleet.errors import CompositeError, Failure, RemoteError
from kernelfleet.wire.objects.exceptions import (
    MAX_CAUSES,
    freeze_error,
    thaw_error,
)
from kernelfleet.wire.objects.serialize import pack, unpack


class Two(Exception):
    """The usual one: its text is made in ``__init__``, of what it takes."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class OnlyKeywords(ValueError):
    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    text: str = "x"


class WithNew(Exception):
    def __new__(cls, first: int, second: int) -> WithNew:
        return super().__new__(cls, first + second)

    def __init__(self, first: int, second: int) -> None:
        self.code = first * second


class Computed(Exception):
    """Takes more than one, says how it is restored, and has a property."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self._code = code

    @property
    def code(self) -> int:
        return self._code

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state, restored=True)


class OwnWay(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnWay, (self.code, str(self))


class Registered(OwnWay):
    """``copyreg`` knows how."""

    __reduce__ = Exception.__reduce__  # type: ignore[assignment]


class Grouped(ExceptionGroup[Exception]):
    def __new__(cls, code: int, members: list[Exception]) -> Grouped:
        self = super().__new__(cls, f"code {code}", members)
        self.code = code
        return self

    def __init__(self, code: int, members: list[Exception]) -> None:
        super().__init__(f"code {code}", members)

    code: int


class InTheSystem(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "not here", path)
        self.code = 7


ERRORS = [
    Two(7, "x"),
    OnlyKeywords(code=7),
    Slotted(7),
    Frozen(7),
    WithNew(1, 7),
    Computed(7, "x"),
    OwnWay(7, "x"),
    Grouped(7, [Two(1, "a"), KeyError("k")]),
    InTheSystem("a-file"),
]


def raised(error: Exception, *causes: BaseException) -> Exception:
    """An error and its causes, nearest first."""
    at: BaseException = error
    for cause in causes:
        at.__cause__ = cause
        at = cause
    return error


def arrived(error: object) -> Any:
    return unpack(pack(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_with_an_init_of_its_own_arrives_as_itself(error: Any) -> None:
    others: list[Any] = [arrived(error), arrived([error])[0], thaw_error(freeze_error(error))]
    for other in others:
        assert type(other) is type(error)
        assert (str(other), other.code) == (str(error), 7)
        assert other.args == error.args or isinstance(error, ExceptionGroup)


def test_its_notes_and_its_causes_come_along() -> None:
    cause = Two(5, "y")
    error = raised(Two(4, "x"), cause, KeyError("k"))
    error.add_note("a note")
    cause.add_note("another")
    other = arrived(error)
    assert other.__notes__ == ["a note"]
    assert (other.__cause__.code, other.__cause__.__notes__) == (5, ["another"])
    assert repr(other.__cause__.__cause__) == "KeyError('k')"


def test_a_class_that_sees_to_its_pickling_is_left_alone_and_has_its_causes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Again: ``import distributed`` puts tblib's in the place of every exception's reducer.
    monkeypatch.setitem(
        copyreg.dispatch_table,
        Registered,
        lambda error: (Registered, (error.code, f"{error} by copyreg")),
    )
    error = raised(OwnWay(4, "x"), Two(5, "y"))
    error.add_note("lost, as the class leaves it out")
    other = arrived(error)
    assert (other.code, str(other), other.__cause__.code) == (4, "x", 5)
    assert not hasattr(other, "__notes__")
    assert str(arrived(Registered(4, "x"))) == "x by copyreg"
    assert arrived(raised(Registered(4, "x"), Two(5, "y"))).__cause__.code == 5
    assert arrived(Computed(7, "x")).restored


def test_a_reducer_that_is_registered_for_all_exceptions_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``import distributed`` registers tblib's, which forgets what built-in classes hold in C."""

    def pickle_exception(error: BaseException) -> tuple[type, tuple[object, ...]]:
        return type(error), error.args[:1]

    pickle_exception.__module__ = "tblib.pickling_support"
    for cls in (SyntaxError, ValueError):
        monkeypatch.setitem(copyreg.dispatch_table, cls, pickle_exception)
    assert arrived(SyntaxError("bad", ("f.py", 3, 5, "text"))).lineno == 3
    error = ValueError("x")
    error.__cause__ = KeyError("the cause")
    assert repr(arrived(error).__cause__) == "KeyError('the cause')"


def test_built_in_errors_keep_what_they_have() -> None:
    assert arrived(FileNotFoundError(2, "gone", "a", None, "b")).filename2 == "b"
    assert arrived(InTheSystem("a-file")).filename == "a-file"
    assert arrived(ImportError("no", name="n", path="p")).path == "p"
    assert arrived(SyntaxError("bad", ("f.py", 3, 5, "text"))).lineno == 3
    assert arrived(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")).reason == "bad"
    assert arrived(StopIteration(3)).value == 3
    assert arrived(NameError("name 'x' is not defined", name="x")).name == "x"
    unpicklable = AttributeError("no", name="x", obj=threading.Lock())
    assert arrived(unpicklable).name == "x"
    assert not hasattr(arrived(unpicklable), "__notes__")
    assert arrived(KeyboardInterrupt()).args == ()


def test_an_attribute_that_cannot_be_pickled_is_left_behind_and_that_is_said() -> None:
    error = Two(4, "x")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    error.add_note("mine")
    other = arrived(error)
    assert type(other) is Two
    assert other.code == 4
    assert not hasattr(other, "lock")
    assert other.__notes__ == ["mine", "left behind, as it cannot be pickled: 'lock'"]
    assert error.__notes__ == ["mine"]


def test_an_error_that_refers_to_itself_does_so_when_it_arrives() -> None:
    error = Two(4, "x")
    error.again = error  # type: ignore[attr-defined]
    other = arrived(error)
    assert other.again.code == 4


def http_error(body: Any, cls: type[urllib.error.HTTPError] = urllib.error.HTTPError) -> Any:
    headers = Message()
    headers["Retry-After"] = "5"
    return cls("http://nowhere/", 503, "Busy", headers, body)


def test_an_http_error_arrives_with_its_headers_and_the_body_that_is_in_memory() -> None:
    error = http_error(io.BytesIO(b"come later"))
    assert error.read(5) == b"come "
    other = arrived(error)
    assert type(other) is urllib.error.HTTPError
    assert (other.code, other.reason, other.url, other.filename) == (
        503, "Busy", "http://nowhere/", "http://nowhere/",
    )  # fmt: skip
    assert str(other) == "HTTP Error 503: Busy"
    assert other.headers["Retry-After"] == "5"
    assert other.read() == b"later"
    assert not hasattr(other, "__notes__")
    other.close()
    error.close()


def test_the_connection_of_an_http_error_stays_at_home() -> None:
    class Response(io.RawIOBase):
        """As of http.client: it reads from a socket, and cannot be pickled."""

        def readable(self) -> bool:
            return True

    class Mine(urllib.error.HTTPError):
        pass

    error = http_error(Response(), Mine)
    other = arrived(error)
    assert type(other).__name__ == "Mine"
    assert other.headers["Retry-After"] == "5"
    assert "the response's body did not travel" in other.__notes__[0]
    with pytest.raises(ValueError, match="closed file"):
        other.read()
    other.close()
    error.close()


def test_a_url_error_arrives_with_its_reason() -> None:
    error = urllib.error.URLError(ConnectionRefusedError(111, "refused"))
    assert arrived(error).reason.errno == 111


def test_a_cause_that_cannot_travel_is_stood_in_for_and_spoils_nothing() -> None:
    error = arrived(raised(ValueError("x"), TypeError("held", threading.Lock()), KeyError("a")))
    assert isinstance(error.__cause__, RemoteError)
    assert error.__cause__.ename == "TypeError"
    assert repr(error.__cause__.__cause__) == "KeyError('a')"


def test_what_must_not_be_raised_here_is_stood_in_for() -> None:
    error = arrived(raised(ValueError("x"), KeyboardInterrupt()))
    assert isinstance(error.__cause__, RemoteError)
    assert error.__cause__.ename == "KeyboardInterrupt"


def test_a_circle_and_an_endless_chain_are_cut() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    error = arrived(first)
    assert str(error.__cause__) == "2"
    assert error.__cause__.__cause__ is None

    error = arrived(raised(ValueError("x"), *(ValueError(str(i)) for i in range(3 * MAX_CAUSES))))
    length = 0
    while error.__cause__ is not None:
        error, length = error.__cause__, length + 1
    assert length == MAX_CAUSES


@pytest.mark.parametrize("travel", [arrived, lambda error: pickle.loads(pickle.dumps(error))])
def test_notes_and_members_of_a_composite_error_survive_pickling(travel: Any) -> None:
    error = CompositeError.collect("execute", [Failure(0, Two(4, "x")), Failure(1, Two(5, "y"))])
    error.add_note("seen on Monday")
    error.exceptions[0].add_note("by me")
    other = travel(error)
    assert other.__notes__ == ["seen on Monday"]
    assert [each.code for each in other.exceptions] == [4, 5]
    assert other.exceptions[0].__notes__ == ["by me"]
    matched, _ = error.split(Two)
    assert matched is not None
    assert travel(matched).__notes__ == ["seen on Monday"]
