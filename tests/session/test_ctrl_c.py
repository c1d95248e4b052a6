"""ctrl_c.py: what a destructor swallows comes again, and what must be finished is finished."""

# ruff: noqa: PT012 (where an interrupt comes out is what is tested)

from __future__ import annotations

import _thread
import concurrent.futures
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from kernelfleet.session import ctrl_c, future
from tests.fleets import eventually


class Swallows:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def swallow_and_wait() -> None:
    with ctrl_c.kept():
        Swallows()
        queue.SimpleQueue[None]().get(timeout=10)


@pytest.fixture(autouse=True)
def _default_handler() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_in_a_destructor_is_raised_behind_it() -> None:
    before = sys.unraisablehook
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        swallow_and_wait()
    assert time.monotonic() - begun < 5
    assert sys.unraisablehook is before


def test_other_complaints_go_where_they_went(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("told")

    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(str(args.exc_value)))
    with ctrl_c.kept(), ctrl_c.kept():
        Broken()
    assert told == ["told"]


def test_a_hook_that_somebody_sets_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs(_: object) -> None: ...

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with ctrl_c.kept():
        sys.unraisablehook = theirs
    assert sys.unraisablehook is theirs


def test_other_threads_leave_the_hook_alone() -> None:
    hooks = []

    def work() -> None:
        with ctrl_c.kept():
            hooks.append(sys.unraisablehook)

    before = sys.unraisablehook
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert hooks == [before]


# -- held: a Ctrl-C that must not break off what goes on ---------------------------------------


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_comes_when_all_is_done() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), ctrl_c.held() as hold:
        press()
        press()
        assert hold.pressed
        done.append("all")
    assert done == ["all"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_nothing_happens() -> None:
    with ctrl_c.held() as hold:
        assert not hold.pressed
    with pytest.raises(ValueError, match="its own"), ctrl_c.held():
        raise ValueError("its own")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_first_interrupt_gives_up_what_goes_on_once() -> None:
    given_up: list[str] = []
    with pytest.raises(KeyboardInterrupt), ctrl_c.held(lambda: given_up.append("outer")) as hold:
        with hold.giving_up(lambda: given_up.append("over")):
            pass
        with ctrl_c.held(lambda: given_up.append("inner")):
            press()
            press()
        assert given_up == ["outer", "inner"], "no interrupt comes out of the inner one"
        with ctrl_c.held(lambda: given_up.append("later")):
            assert given_up == ["outer", "inner", "later"]
    assert given_up == ["outer", "inner", "later"]


def test_what_was_given_up_ends_as_the_interrupt_alone_and_errors_are_shown_with_it() -> None:
    with pytest.raises(KeyboardInterrupt) as given_up, ctrl_c.held():
        press()
        raise concurrent.futures.CancelledError
    assert given_up.value.__suppress_context__
    with pytest.raises(KeyboardInterrupt) as failed, ctrl_c.held():
        press()
        raise ValueError("its own")
    assert isinstance(failed.value.__context__, ValueError)
    with pytest.raises(KeyboardInterrupt, match="told"), ctrl_c.held():
        press()
        raise KeyboardInterrupt("told")
    with pytest.raises(concurrent.futures.CancelledError), ctrl_c.held():
        raise concurrent.futures.CancelledError


def test_after_much_patience_an_interrupt_breaks_off_what_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), ctrl_c.held():
        press()
        monkeypatch.setattr(ctrl_c, "PATIENCE_SECONDS", -1.0)
        reached.append("the second")
        press()
        reached.append("too far")
    assert reached == ["the second"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_own_is_left_alone() -> None:
    told: list[int] = []
    own = signal.signal(signal.SIGINT, lambda signum, _: told.append(signum))
    try:
        with ctrl_c.held(lambda: told.append(0)) as hold:
            press()
        assert told == [signal.SIGINT]
        assert not hold.pressed
    finally:
        signal.signal(signal.SIGINT, own)


def test_a_handler_that_somebody_sets_meanwhile_is_left_alone() -> None:
    def theirs(*_: object) -> None: ...

    try:
        with ctrl_c.held():
            signal.signal(signal.SIGINT, theirs)
        assert signal.getsignal(signal.SIGINT) is theirs
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_hold_nothing() -> None:
    seen: list[object] = []

    def hold() -> None:
        with ctrl_c.held() as held:
            seen.extend([held.pressed, signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert seen == [False, signal.default_int_handler]


def main_thread_waits() -> bool:
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return frame.f_code.co_filename in (ctrl_c.__file__, future.__file__)


@pytest.mark.parametrize("timeout", [None, 30.0])
@pytest.mark.parametrize(
    "wait",
    [
        lambda timeout: ctrl_c.get_from(queue.SimpleQueue[None](), timeout),
        lambda timeout: future.Future[None]().result(timeout),
    ],
    ids=["queue", "future"],
)
def test_an_interrupt_that_comes_just_before_a_wait_is_noticed_in_it(
    wait: Callable[[float | None], None], timeout: float | None
) -> None:
    def press() -> None:
        eventually(main_thread_waits)
        _thread.interrupt_main()  # it ends no system call, as a signal before one does not

    thread = threading.Thread(target=press)
    begun = time.monotonic()
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        wait(timeout)
    thread.join()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("timeout", "found"),
    [
        (0, [0]), (-1, [0]), (0.2, [0.2]), (0.5, [0.5]), (1.2, [0.5, 0.5, 0.2]),
        (1e12, [0.5] * 4), (None, [0.5] * 4),
    ],
)  # fmt: skip
def test_a_wait_is_cut_into_pieces_that_last_as_long(
    timeout: float | None, found: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    cut = []
    for seconds in ctrl_c.pieces(timeout):
        cut.append(seconds)
        now[0] += seconds
        if len(cut) == 4:
            break
    assert cut == pytest.approx(found)


def test_other_threads_which_get_no_signals_wait_undisturbed() -> None:
    cut: list[float] = []
    thread = threading.Thread(target=lambda: cut.append(next(ctrl_c.pieces(None))))
    thread.start()
    thread.join()
    assert cut == [ctrl_c.UNDISTURBED_SECONDS]


def test_what_comes_into_a_queue_in_time_is_had_and_else_it_is_empty() -> None:
    source: queue.SimpleQueue[int] = queue.SimpleQueue()
    with pytest.raises(queue.Empty):
        ctrl_c.get_from(source, 0)
    source.put(5)
    assert ctrl_c.get_from(source, 0) == 5
