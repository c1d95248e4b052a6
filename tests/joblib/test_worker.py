"""worker.py: what joblib's tasks find on an engine."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("joblib", reason="joblib is not installed")

from kernelfleet.joblib import worker


def test_a_kept_value_arrives_as_the_value_until_it_is_dropped() -> None:
    value = [1, 2]
    worker.keep("a key", value)
    travelled = pickle.dumps(worker.KeptValue("a key"))
    assert pickle.loads(travelled) is value
    worker.drop(["a key", "never there"])
    with pytest.raises(LookupError, match="started in the middle of a call of joblib"):
        pickle.loads(travelled)


@pytest.mark.parametrize("limit", [None, 1])
def test_a_task_is_called_with_and_without_a_limit(limit: int | None) -> None:
    assert worker.call(lambda: 7, limit) == 7
