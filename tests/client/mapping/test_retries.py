"""retries.py: what an item's error, or its engine's death, leads to."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest

from kernelfleet.client.mapping.retries import Cause, RetryPolicy, Verdict, cause_of
from kernelfleet.errors import (
    EngineDied,
    FleetStopped,
    QueueCleared,
    RemoteError,
    SerializationError,
    UnsupportedOperation,
)


@pytest.mark.parametrize(
    "error",
    [
        CancelledError(), SerializationError("no"), UnsupportedOperation("no"),
        QueueCleared("no"), FleetStopped("no"), RemoteError("KeyboardInterrupt", ""),
    ],
    ids=repr,
)  # fmt: skip
def test_what_would_end_in_the_same_way_again_is_final(error: Exception) -> None:
    assert cause_of(error) is Cause.FINAL
    policy = RetryPolicy(after_deaths=9, after_errors=9)
    assert policy.after(Cause.FINAL, deaths=0, errors=0) is Verdict.FAIL


@pytest.mark.parametrize(
    "error", [ValueError(), TimeoutError(), RemoteError("SimulationError", "")], ids=repr
)
def test_an_exception_of_the_function_is_an_error(error: Exception) -> None:
    assert cause_of(error) is Cause.ERROR


def test_a_death_counts_only_for_what_the_engine_had_begun() -> None:
    died = EngineDied(3)
    assert cause_of(died) is Cause.DEATH
    assert cause_of(died, begun=False) is Cause.NOT_BEGUN
    assert RetryPolicy(0, 0).after(Cause.NOT_BEGUN, deaths=0, errors=0) is Verdict.ELSEWHERE


@pytest.mark.parametrize(
    ("deaths", "verdict"),
    [(1, Verdict.ELSEWHERE), (2, Verdict.ELSEWHERE), (3, Verdict.FAIL)],
)
def test_so_many_engines_may_die_with_an_item(deaths: int, verdict: Verdict) -> None:
    assert RetryPolicy(after_deaths=2).after(Cause.DEATH, deaths=deaths, errors=9) is verdict


@pytest.mark.parametrize(
    ("errors", "verdict"), [(1, Verdict.RESEND), (2, Verdict.RESEND), (3, Verdict.FAIL)]
)
def test_so_often_a_function_may_fail(errors: int, verdict: Verdict) -> None:
    assert RetryPolicy(after_errors=2).after(Cause.ERROR, deaths=9, errors=errors) is verdict


def test_without_a_word_an_item_survives_one_death_and_no_error() -> None:
    policy = RetryPolicy()
    assert policy.after(Cause.DEATH, deaths=1, errors=0) is Verdict.ELSEWHERE
    assert policy.after(Cause.DEATH, deaths=2, errors=0) is Verdict.FAIL
    assert policy.after(Cause.ERROR, deaths=0, errors=1) is Verdict.FAIL
