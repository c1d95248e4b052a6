"""own_engine.py: which engine a process is, and waiting that would never end there."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import cast

import pytest

from kernelfleet.client.controller_proxy import ControllerProxy
from kernelfleet.client.results import own_engine as module
from kernelfleet.client.results.own_engine import own_engine, refuse_to_wait_for_itself
from kernelfleet.client.results.replies import Reply
from kernelfleet.errors import ControllerUnreachable, UnsupportedOperation
from kernelfleet.wire.process_tags import VARIABLE


class Connection:
    """A controller that knows one engine."""

    def __init__(self, engine: int | None = 3, pid: int | None = os.getpid()) -> None:
        self.value = {"engine": engine, "pid": pid}
        self.own_engine: tuple[int | None] | None = None
        self.fleet = {"name": "f"}
        self.asked: list[str] = []

    def call(self, verb: str, _timeout: float, mark: str) -> Reply:
        assert verb == "locate"
        self.asked.append(mark)
        return Reply({"value": self.value}, [])


def connection(line: Connection) -> ControllerProxy:
    return cast(ControllerProxy, line)


@pytest.fixture
def on_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "outer,inner")
    monkeypatch.setattr(module, "running_shell", lambda: SimpleNamespace(kernel=object()))


def test_elsewhere_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Connection()
    monkeypatch.delenv(VARIABLE, raising=False)
    assert own_engine(connection(line)) is None
    refuse_to_wait_for_itself(connection(line), [3], "pull")
    monkeypatch.setenv(VARIABLE, "mark")  # a process that an engine has started: no kernel in it
    assert own_engine(connection(line)) is None
    assert line.asked == []


@pytest.mark.usefixtures("on_an_engine")
def test_the_controller_is_asked_once_by_the_innermost_mark() -> None:
    line = Connection()
    assert [own_engine(connection(line)) for _ in range(3)] == [3, 3, 3]
    assert line.asked == ["inner"]
    assert own_engine(connection(Connection(pid=None))) == 3
    assert own_engine(connection(Connection(pid=1))) is None  # it was forked by an engine
    assert own_engine(connection(Connection(engine=None))) is None


@pytest.mark.usefixtures("on_an_engine")
def test_a_controller_that_is_away_or_knows_no_such_verb_is_no_error() -> None:
    line = Connection()

    def away(*_: object, **__: object) -> Reply:
        raise ControllerUnreachable("away")

    line.call = away  # type: ignore[method-assign]
    assert own_engine(connection(line)) is None
    assert line.own_engine is None  # and is asked again


@pytest.mark.usefixtures("on_an_engine")
def test_only_the_main_thread_would_wait_for_itself() -> None:
    line = connection(Connection())
    with pytest.raises(UnsupportedOperation, match="runs on engine 3 of the fleet 'f', and pull"):
        refuse_to_wait_for_itself(line, [1, 3], "pull")
    refuse_to_wait_for_itself(line, [1, 2], "pull")
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            refuse_to_wait_for_itself(line, [3], "pull")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert errors == []
