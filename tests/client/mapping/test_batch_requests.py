"""batch_requests.py: the function travels with the first batch to each engine, and when it must."""

from __future__ import annotations

import threading

import pytest

from kernelfleet.client.mapping.batch_requests import BatchRequests
from kernelfleet.client.mapping.batches import Item
from kernelfleet.client.mapping.options import Call
from kernelfleet.errors import SerializationError, UnsupportedOperation
from kernelfleet.wire.objects.pythons import VERSION
from kernelfleet.wire.objects.serialize import unpack
from tests.client.simulated import SimulatedFleet


def make() -> BatchRequests:
    call = Call(abs, "map(abs)", star=True, verb="task", budget=0.5, stop_on_error=False)
    return BatchRequests(SimulatedFleet(2).connection, [0, 1], call)


def test_a_request_says_what_is_called_with_what() -> None:
    requests = make()
    batch = requests.batch(1, [Item(0, (3,), timeout=2.0), Item(1, (4,))])
    header, frames = requests.encode(batch)
    _, (_, function, payloads, star, budget, stop_on_error, python), _ = unpack(frames)
    assert python is None
    assert unpack(function) is abs
    assert (payloads, star, budget, stop_on_error) == ([(3,), (4,)], True, 0.5, False)
    assert batch.size_bytes > 0
    assert header["payloads"] == [len(frames)]
    named = {name: header[name] for name in ("operation", "targets", "label", "limit", "keep")}
    assert named == {
        "operation": "task", "targets": [1], "label": "map(abs) x2", "limit": 2.0, "keep": False,
    }  # fmt: skip


def test_a_batch_of_tasks_is_labelled_by_what_they_call() -> None:
    requests = make()
    f, g = Item(0, (3,), name="f"), Item(1, (4,), name="g")
    labels = [
        requests.encode(requests.batch(0, items))[0]["label"] for items in ([f], [f, f], [f, g])
    ]
    assert labels == ["map(abs)(f) x1", "map(abs)(f) x2", "map(abs)(f, ...) x2"]


def test_all_batches_say_which_call_they_are_part_of() -> None:
    requests = make()
    calls = {requests.encode(requests.batch(0, [Item(0, (3,))]))[0]["call"] for _ in range(2)}
    assert calls == {requests.call_id}


def test_the_function_travels_again_only_where_it_is_not() -> None:
    requests = make()
    first = requests.batch(0, [])
    assert first.with_function
    assert not requests.batch(0, []).with_function
    assert requests.batch(1, []).with_function
    requests.forget(1)
    assert requests.batch(1, []).with_function
    requests.not_sent(first)
    second = requests.batch(0, [])
    assert second.with_function
    requests.not_sent(requests.batch(0, []))
    assert not requests.batch(0, []).with_function


def test_what_cannot_be_pickled_is_refused() -> None:
    requests = make()
    with pytest.raises(SerializationError):
        requests.encode(requests.batch(0, [Item(0, (threading.Lock(),))]))


def test_values_are_asked_for_the_python_of_the_client_where_the_engine_runs_another() -> None:
    fleet = SimulatedFleet(2)
    fleet.roster.other_pythons[1] = "3.99.1"
    requests = BatchRequests(fleet.connection, [0, 1], Call(abs, ""))
    pythons_asked = [
        unpack(requests.encode(requests.batch(engine, [Item(0, 1)]))[1])[1][-1] for engine in (0, 1)
    ]
    assert pythons_asked == [None, VERSION]
    made = eval("lambda: 1", {"__name__": "__main__"})  # a notebook's
    with pytest.raises(UnsupportedOperation, match=r"'<lambda>'.*engine 1"):
        requests.encode(requests.batch(1, [Item(0, made)]))
    assert requests.encode(requests.batch(0, [Item(0, made)]))
    with pytest.raises(UnsupportedOperation):
        BatchRequests(fleet.connection, [0, 1], Call(made, ""))
