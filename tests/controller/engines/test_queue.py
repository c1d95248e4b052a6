"""One request in flight, nothing lost, and what an error takes with it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kernelfleet.controller.engines.queue import (
    EngineQueue,
    IllegalTransition,
)
from kernelfleet.wire.operations import OPERATIONS, Operation


@dataclass(eq=False)
class Item:
    client: str = "a"
    method: str = "execute"
    label: str = "execute('x')"

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.method]


Queue = EngineQueue[Item]


def queue_of(*items: Item) -> Queue:
    queue = Queue()
    for item in items:
        queue.put(item)
    return queue


def test_items_run_one_at_a_time_in_the_order_they_came() -> None:
    first, second = Item(), Item()
    queue = queue_of(first, second)
    assert queue.start_next() is first
    assert queue.start_next() is None
    assert queue.finish(failed=False) == []
    assert queue.start_next() is second
    queue.finish(failed=False)
    assert queue.start_next() is None


def test_an_error_in_an_execute_clears_what_its_client_had_queued_behind_it() -> None:
    failing, mine, push = Item(), Item(), Item(method="push")
    other, item, task = Item("b"), Item(method="map"), Item(method="task")
    queue = queue_of(failing, mine, other, item, push, task)
    queue.start_next()
    assert queue.finish(failed=True) == [mine, push]
    assert queue.waiting == (other, item, task)
    queue.put(mine)  # later submissions are untouched
    assert queue.start_next() is other


def test_what_is_queued_after_an_interrupt_is_not_cleared_by_it() -> None:
    interrupted, before, after = Item(), Item(), Item()
    queue = queue_of(interrupted, before)
    queue.interrupted()  # nothing runs
    queue.start_next()
    queue.interrupted()
    queue.put(after)
    queue.interrupted()  # once more
    assert queue.finish(failed=True) == [before]
    assert queue.start_next() is after
    queue.put(later := Item())
    assert queue.finish(failed=True) == [later]  # the next error is like any other


@pytest.mark.parametrize(
    "method", sorted({o.name for o in OPERATIONS.values() if o.queued} - {"execute"})
)
def test_an_error_in_another_operation_clears_nothing(method: str) -> None:
    queue = queue_of(Item(method=method), waiting := Item())
    queue.start_next()
    assert queue.finish(failed=True) == []
    assert queue.waiting == (waiting,)


def test_what_the_user_does_with_a_widget_goes_first_in_its_own_order() -> None:
    running, waiting, item = Item(), Item(), Item(method="map")
    touch, click = Item("b", method="comm"), Item("b", method="comm")
    queue = queue_of(running, waiting, item)
    queue.start_next()
    queue.put(touch)
    queue.put(click)
    assert list(queue.waiting) == [touch, click, waiting, item]
    assert queue.finish(failed=True) == [waiting]
    assert list(queue.waiting) == [touch, click, item]
    queue.start_next()
    assert queue.finish(failed=True) == []  # a callback's error is nobody else's


def test_success_clears_nothing() -> None:
    queue = queue_of(Item(), Item())
    queue.start_next()
    assert queue.finish(failed=False) == []
    assert len(queue) == 1


def test_clear_takes_what_waits_and_lets_the_running_one_go_on() -> None:
    running, first, second = Item(), Item("b"), Item(method="map")
    queue = queue_of(running, first, second)
    queue.start_next()
    assert queue.clear() == [first, second]
    assert queue.running is running
    assert queue.clear() == []


def test_drop_takes_only_what_it_is_asked_to() -> None:
    items = [Item(client) for client in "abab"]
    queue = queue_of(*items)
    queue.start_next()
    assert queue.drop(lambda item: item.client == "a") == [items[2]]
    assert queue.waiting == (items[1], items[3])


def test_a_predicate_that_fails_changes_nothing() -> None:
    queue = queue_of(Item(), Item())

    def fails(item: Item) -> bool:
        raise KeyError(item)

    with pytest.raises(KeyError):
        queue.drop(fails)
    assert len(queue) == 2


def test_death_fails_the_running_one_first_and_then_all_that_waits() -> None:
    items = [Item(), Item("b"), Item(method="map")]
    queue = queue_of(*items)
    queue.start_next()
    assert queue.fail_all() == items
    assert queue.status() == {"queue": [], "pending": None}
    assert queue.fail_all() == []
    queue.put(items[0])
    assert queue.start_next() is items[0]


def test_an_aborted_item_runs_again_before_all_others() -> None:
    aborted, waiting = Item(), Item()
    queue = queue_of(aborted, waiting)
    queue.start_next()
    queue.put_front(aborted)
    assert queue.running is None
    assert queue.waiting == (aborted, waiting)
    assert queue.start_next() is aborted
    queue.finish(failed=False)
    queue.put_front(aborted)
    assert queue.start_next() is aborted


def test_nothing_starts_while_any_reason_to_hold_is_left() -> None:
    queue = Queue()
    queue.hold("not ready")
    queue.hold("interrupt")
    queue.put(item := Item())
    assert queue.start_next() is None
    queue.release("not ready")
    assert queue.start_next() is None
    assert queue.holds == {"interrupt"}
    queue.release("interrupt")
    assert queue.start_next() is item


def test_a_hold_does_not_touch_the_running_item() -> None:
    queue = queue_of(running := Item(), waiting := Item())
    queue.start_next()
    queue.hold()
    assert queue.running is running
    queue.finish(failed=False)
    assert queue.start_next() is None
    queue.release()
    assert queue.start_next() is waiting


def test_holds_outlive_the_engine() -> None:
    queue = queue_of(Item())
    queue.hold("not ready")
    queue.fail_all()
    assert queue.holds == {"not ready"}


def test_status_shows_labels() -> None:
    queue = queue_of(Item(label="execute('time.sleep(2)')"), Item(label="push('a')"))
    both = ["execute('time.sleep(2)')", "push('a')"]
    assert queue.status() == {"queue": both, "pending": None}
    queue.start_next()
    assert queue.status() == {"queue": both[1:], "pending": both[0]}


RUNNING, WAITING = Item(), Item()


@pytest.mark.parametrize(
    "illegal",
    [
        lambda queue: queue.put(WAITING),
        lambda queue: queue.put(RUNNING),
        lambda queue: queue.put_front(WAITING),
        lambda queue: queue.release(),
        lambda queue: queue.hold("interrupt"),
    ],
)
def test_illegal_transitions_raise_and_change_nothing(illegal: Callable[[Queue], object]) -> None:
    queue = queue_of(RUNNING, WAITING)
    queue.start_next()
    queue.hold("interrupt")
    with pytest.raises(IllegalTransition):
        illegal(queue)
    assert queue.running is RUNNING
    assert queue.waiting == (WAITING,)
    assert queue.holds == {"interrupt"}


def test_finishing_when_nothing_runs_is_illegal() -> None:
    queue = queue_of(waiting := Item())
    with pytest.raises(IllegalTransition):
        queue.finish(failed=True)
    assert queue.waiting == (waiting,)


class QueueMachine(RuleBasedStateMachine):
    """Random events against a model: two lists and a set."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.waiting: list[Item] = []
        self.running: Item | None = None
        self.given: set[Item] = set()
        self.gone: list[Item] = []

    @rule(
        client=st.sampled_from("ab"),
        method=st.sampled_from(["execute", "push", "map", "task"]),
        front=st.booleans(),
    )
    def put(self, client: str, method: str, front: bool) -> None:
        item = Item(client, method)
        self.given.add(item)
        if front:
            self.queue.put_front(item)
            self.waiting.insert(0, item)
        else:
            self.queue.put(item)
            self.waiting.append(item)

    @rule()
    def start(self) -> None:
        started = self.queue.start_next()
        if self.running or self.queue.holds or not self.waiting:
            assert started is None
        else:
            self.running = self.waiting.pop(0)
            assert started is self.running

    @precondition(lambda self: self.running)
    @rule(failed=st.booleans())
    def finish(self, failed: bool) -> None:
        ended, self.running = self.running, None
        assert ended is not None
        cleared = [
            item
            for item in self.waiting
            if failed
            and ended.method == "execute"
            and item.client == ended.client
            and item.method in {"execute", "push"}
        ]
        assert self.queue.finish(failed) == cleared
        self.take([ended, *cleared])

    @precondition(lambda self: self.running)
    @rule()
    def abort(self) -> None:
        assert self.running is not None
        self.queue.put_front(self.running)
        self.waiting.insert(0, self.running)
        self.running = None

    @precondition(lambda self: not self.running)
    @rule()
    def finish_nothing(self) -> None:
        with pytest.raises(IllegalTransition):
            self.queue.finish(failed=True)

    @rule(client=st.sampled_from("ab"))
    def drop(self, client: str) -> None:
        self.take(self.queue.drop(lambda item: item.client == client))

    @rule()
    def clear(self) -> None:
        self.take(self.queue.clear())
        assert not self.waiting

    @rule()
    def die(self) -> None:
        failed = self.queue.fail_all()
        assert failed == [*([self.running] if self.running else []), *self.waiting]
        self.running = None
        self.take(failed)

    @rule(reason=st.sampled_from(["ready", "interrupt"]))
    def hold_or_release(self, reason: str) -> None:
        (self.queue.release if reason in self.queue.holds else self.queue.hold)(reason)

    def take(self, items: list[Item]) -> None:
        self.gone += items
        self.waiting = [item for item in self.waiting if item not in items]

    @invariant()
    def the_queue_is_as_the_model(self) -> None:
        assert self.queue.running is self.running
        assert list(self.queue.waiting) == self.waiting
        assert len(self.queue) == len(self.waiting)

    @invariant()
    def no_item_is_lost_or_in_two_places(self) -> None:
        everywhere = [*self.waiting, *([self.running] if self.running else []), *self.gone]
        assert len(everywhere) == len(self.given)
        assert set(everywhere) == self.given


test_random_event_sequences_keep_every_item = QueueMachine.TestCase
QueueMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_an_interrupt_is_forgotten_with_the_command_that_is_run_again() -> None:
    """The engine aborted the interrupted command; it fails later, and clears all that waits."""
    queue = queue_of(aborted := Item(), before := Item())
    queue.start_next()
    queue.interrupted()
    queue.put_front(aborted)
    assert queue.start_next() is aborted
    queue.put(after := Item())
    assert queue.finish(failed=True) == [before, after]


def test_an_interrupt_is_forgotten_with_the_engine_that_died() -> None:
    queue = queue_of(Item(), Item())
    queue.start_next()
    queue.interrupted()
    queue.fail_all()
    queue.put(failing := Item())
    queue.put(behind := Item())
    assert queue.start_next() is failing
    assert queue.finish(failed=True) == [behind]
