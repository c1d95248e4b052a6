"""Errors as JSON."""

from __future__ import annotations

import pytest

from kernelfleet import errors
from kernelfleet.server import problems


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (problems.BadBody("x"), 400),
        (ValueError("x"), 400),
        (errors.FleetNotFound("x"), 404),
        (errors.InvalidEngineID("x"), 404),
        (errors.FleetExists("x"), 409),
        (errors.StartError("x"), 422),
        (errors.ControllerUnreachable("x"), 503),
    ],
)
def test_what_is_expected_has_a_status_and_a_remedy(error: Exception, status: int) -> None:
    assert problems.status_of(error) == status
    assert problems.is_expected(error)
    problem = problems.problem(error)
    assert (problem["message"], problem["reason"]) == ("x", type(error).__name__)
    assert problem["remedy"].endswith(".")


def test_a_bug_is_no_expected_error() -> None:
    assert problems.status_of(RuntimeError("x")) == 500
    assert not problems.is_expected(RuntimeError("x"))
    assert "log" in problems.problem(RuntimeError())["remedy"]


def test_an_error_without_a_text_is_named() -> None:
    assert problems.problem(RuntimeError())["message"] == "RuntimeError"


@pytest.mark.parametrize(("status", "word"), [(403, "XSRF"), (405, "rest.md"), (500, "log")])
def test_errors_of_the_server_itself_have_a_remedy_too(status: int, word: str) -> None:
    assert word in problems.remedy_of_status(status)
