"""ctrl_c.py: what a destructor swallows comes again."""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time

import pytest

from kernelfleet.client import ctrl_c


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
