"""registration.py: what tests/conformance/test_2_tasks.py cannot show with a fleet that stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest

from kernelfleet.client.controller_proxy import ControllerProxy, KnownEngines
from kernelfleet.client.registration import wait_for_engines
from kernelfleet.errors import CallTimeout, ControllerUnreachable


class Connection:
    """A connection whose engines come and whose controller goes as a test says."""

    def __init__(self) -> None:
        self.roster, self.is_open = KnownEngines(), True
        self.listeners: list[Callable[[], None]] = []
        self.waits = threading.Event()

    def call(self, _verb: str, _timeout: float | None = None) -> None:
        if not self.is_open:
            raise ControllerUnreachable("it went")

    def when_changed(self, listener: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        self.waits.set()
        return lambda: self.listeners.remove(listener)

    def change(self, ids: list[int], *, is_open: bool = True) -> None:
        assert self.waits.wait(10)
        self.roster, self.is_open = KnownEngines(ids), is_open
        for listener in self.listeners:
            listener()


def test_it_returns_when_the_last_of_them_comes() -> None:
    line = Connection()
    waiting = threading.Thread(target=wait_for_engines, args=(cast(ControllerProxy, line), 2, None))
    waiting.start()
    line.change([0])
    assert waiting.is_alive()
    line.change([0, 1])
    waiting.join(10)
    assert not waiting.is_alive()
    assert line.listeners == []


def test_a_fleet_that_goes_is_told_at_once() -> None:
    line = Connection()
    timer = threading.Timer(0, line.change, [[0]], {"is_open": False})
    timer.start()
    with pytest.raises(ControllerUnreachable, match="it went"):
        wait_for_engines(cast(ControllerProxy, line), 2, None)
    timer.join()
    assert line.listeners == []


def test_too_few_in_time_are_counted() -> None:
    line = Connection()
    line.roster = KnownEngines([3])
    with pytest.raises(CallTimeout, match=r"1 of 2 engines are there after 0\.01 s"):
        wait_for_engines(cast(ControllerProxy, line), 2, 0.01)
    wait_for_engines(cast(ControllerProxy, line), 1, -1)
