"""tasks.py: options of tasks, and what a future says of a task and does to it."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from kernelfleet.client.controller_proxy import ControllerProxy
from kernelfleet.client.executor.tasks import (
    TaskFuture,
    TaskOptions,
    TaskPlace,
    Tasks,
    options_among,
)
from kernelfleet.client.mapping.batches import Batch, Item
from kernelfleet.client.mapping.dispatch import Dispatcher
from kernelfleet.client.results.replies import Reply
from kernelfleet.errors import ControllerUnreachable


def plain(x: int, retries: int = 0) -> None:
    """Takes one of the options itself."""


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (lambda x: x, ["retries", "timeout"]),
        (plain, ["timeout"]),
        (lambda **kwargs: kwargs, []),
        (functools.partial(plain, 1), ["timeout"]),
        (print, ["retries", "timeout"]),
        (dict, []),
        (time.sleep, ["retries", "timeout"]),
        (threading.Lock().acquire, ["retries"]),
    ],
)
def test_options_are_the_keywords_that_the_function_cannot_take(
    function: Callable[..., Any], options: list[str]
) -> None:
    assert options_among(function, {"retries": 1, "timeout": 2, "other": 3}) == options
    assert options_among(function, {"other": 3}) == []


def test_options_of_a_task_win_over_the_executors() -> None:
    options = TaskOptions(retries=1, timeout=5)
    assert options.updated({"retries": None, "timeout": None}) is options
    assert options.updated({"retries": 0, "timeout": None}) == TaskOptions(retries=0, timeout=5)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"retries": -1}, ValueError), ({"retries": True}, ValueError),
        ({"retries": "1"}, TypeError), ({"timeout": "1"}, TypeError),
        ({"timeout": 0}, ValueError), ({"require": ["gpu"]}, TypeError),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(
    option: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        TaskOptions(**option)


class Connection:
    """A controller that says what a test wants it to, or is not there."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, 0
        self.sending = threading.RLock()
        self.before_answering: Callable[[], None] = lambda: None

    def call(self, verb: str, _timeout: float, **_: Any) -> Reply:
        self.asked += 1
        self.before_answering()
        if verb not in self.answers:
            raise ControllerUnreachable("nobody there")
        return Reply({"value": self.answers[verb]}, [])


def task(line: Connection) -> tuple[TaskFuture[Any], Item, Tasks]:
    tasks, items = Tasks(), []

    def place(item: Item) -> TaskPlace:
        items.append(item)
        connection, dispatcher = cast(ControllerProxy, line), cast(Dispatcher, line)
        return TaskPlace(item, tasks.futures, dispatcher, connection)

    return tasks.put([], TaskOptions(), None, place), items[0], tasks


def sent(item: Item) -> Batch:
    item.batch = Batch(0, [item], "id", 0, False)
    return item.batch


def test_a_task_that_is_here_is_cancelled_without_asking_and_not_handed_out() -> None:
    line = Connection()
    future, _, tasks = task(line)
    assert not future.running()
    assert future.cancel()
    assert future.cancelled()
    assert line.asked == 0
    assert tasks.take(5) == []
    assert not tasks.futures


def test_a_task_that_waits_at_an_engine_is_cancelled_if_it_is_dropped_there() -> None:
    line = Connection(cancel={"dropped": [0]}, progress={"begun": False})
    future, item, _ = task(line)
    batch = sent(item)
    assert not future.running()
    assert future.cancel()
    assert batch.taken_back  # so that what travels with it is sent again
    assert item.unwanted


def test_a_task_that_an_engine_has_begun_cannot_be_cancelled() -> None:
    line = Connection(cancel={"dropped": []}, progress={"begun": True})
    future, item, _ = task(line)
    sent(item)
    assert future.running()
    assert future.running()
    assert line.asked == 1  # what has begun does not begin again
    assert not future.cancel()
    assert not item.unwanted


def test_a_task_that_came_back_meanwhile_is_cancelled() -> None:
    line = Connection(cancel={"dropped": []})
    future, item, _ = task(line)
    sent(item)
    line.before_answering = lambda: setattr(item, "batch", None)
    assert future.cancel()


def test_without_a_controller_a_task_is_neither_running_nor_cancelled() -> None:
    future, item, tasks = task(Connection())
    sent(item)
    assert not future.running()
    assert not future.cancel()
    assert tasks.futures
