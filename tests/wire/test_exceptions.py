"""What caused an exception comes along."""

from __future__ import annotations

import threading
from typing import Any

from kernelfleet.errors import RemoteError
from kernelfleet.wire.exceptions import MAX_CAUSES, with_causes
from kernelfleet.wire.serialize import pack, unpack


def raised(error: Exception, *causes: BaseException) -> Exception:
    """An error and its causes, nearest first."""
    at: BaseException = error
    for cause in causes:
        at.__cause__ = cause
        at = cause
    return error


def arrived(error: Exception) -> Any:
    return unpack(pack(with_causes(error)))


def test_an_error_without_a_cause_travels_as_it_is() -> None:
    error = ValueError("x")
    assert with_causes(error) is error
    assert arrived(error).__cause__ is None


def test_causes_of_causes_come_along() -> None:
    error = arrived(raised(ValueError("x"), KeyError("a"), OSError(2, "gone")))
    assert repr(error) == "ValueError('x')"
    assert repr(error.__cause__) == "KeyError('a')"
    assert repr(error.__cause__.__cause__) == "FileNotFoundError(2, 'gone')"


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
