"""worker.py: what joblib's tasks find on an engine."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("joblib", reason="joblib is not installed")

from kernelfleet.joblib import worker


def test_tasks_share_the_data_of_an_array_and_cannot_write_to_them() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(6.0).reshape(2, 3)
    worker.keep("an array", array)
    first, second = worker.get("an array"), worker.get("an array")
    assert numpy.shares_memory(first, array)
    assert numpy.shares_memory(first, second)
    with pytest.raises(ValueError, match="read-only"):
        first += 1
    worker.drop(["an array"])


def test_what_a_task_does_to_the_object_itself_no_other_task_sees() -> None:
    worker.keep("a dict", {"a": [1]})
    worker.get("a dict")["a"].append(2)
    assert worker.get("a dict") == {"a": [1]}
    worker.drop(["a dict"])


def test_a_kept_value_arrives_as_the_value_until_it_is_dropped() -> None:
    worker.keep("a key", [1, 2])
    travelled = pickle.dumps(worker.KeptValue("a key"))
    assert pickle.loads(travelled) == [1, 2]
    worker.drop(["a key", "never there"])
    with pytest.raises(LookupError, match="started in the middle of a call of joblib"):
        pickle.loads(travelled)


@pytest.mark.parametrize("limit", [None, 1])
def test_a_task_is_called_with_and_without_a_limit(limit: int | None) -> None:
    seconds, value = worker.call(lambda: 7, limit)
    assert value == 7
    assert 0 <= seconds < 1
