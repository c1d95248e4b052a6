"""pending.py: what tests/conformance/test_4_pending.py cannot show with real engines."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import weakref
from typing import Any, cast

import pytest

from kernelfleet.client.controller_proxy import ControllerProxy
from kernelfleet.client.results.decode import Reader
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.results.replies import Reply
from kernelfleet.errors import CallTimeout, ControllerUnreachable, InvalidDeferredID
from kernelfleet.wire.outputs import to_pages


class NoController:
    """A connection to nobody, which notes what is let go."""

    own_engine = (None,)  # as of a process that is none

    def __init__(self) -> None:
        self.released: list[str] = []

    def call(self, *_: object, **__: object) -> Reply:
        raise ControllerUnreachable("nobody there")

    def release(self, result_id: str) -> None:
        self.released.append(result_id)

    def check_process(self) -> None:
        """It was not forked."""


def make(connection: NoController | None = None) -> PendingResult[Any]:
    return PendingResult(
        cast(ControllerProxy, connection or NoController()),
        Reader(lambda *_: None),
        result_id="id-1",
        method="pull",
        targets=[0, 1],
        decode={"kind": "none"},
    )


def test_a_result_lets_go_of_its_id_without_a_garbage_collection() -> None:
    connection = NoController()
    gc.disable()
    try:
        pending = make(connection)
        pending.set_result(Reply({"value": 1}, []))
        assert pending.r == 1
        assert pending.wait(1)
        here = weakref.ref(pending)
        del pending
        assert here() is None
    finally:
        gc.enable()
    assert connection.released == ["id-1"]


def test_a_controller_that_is_gone_fails_the_result_and_does_not_hide_a_timeout() -> None:
    pending = make()
    with pytest.raises(CallTimeout, match=r"has not ended after 0\.01 s; the work goes on"):
        pending.result(0.01)
    assert pending._settle_after_interrupt() == []
    pending.set_exception(ControllerUnreachable("it went"))
    for _ in range(2):
        with pytest.raises(ControllerUnreachable, match="it went"):
            pending.result()
    assert pending.failed()
    assert not pending.cancelled()


def test_many_threads_fetch_one_value_and_its_callback_runs_once() -> None:
    pending = make()
    calls: list[Any] = []

    def note(value: Any) -> object:
        calls.append(value)
        return object()

    pending.add_callback(note)
    values: list[Any] = []
    threads = [threading.Thread(target=lambda: values.append(pending.r)) for _ in range(8)]
    for thread in threads:
        thread.start()
    pending.set_result(Reply({"value": 3}, []))
    for thread in threads:
        thread.join(10)
    assert calls == [3]
    assert len(values) == 8
    assert len(set(map(id, values))) == 1


def test_a_callback_that_cannot_be_called_is_refused_at_once() -> None:
    pending, nonsense = make(), cast(Any, 3)
    for add in (pending.add_callback, pending.add_done_callback):
        with pytest.raises(TypeError, match="a callback is a function, not int"):
            add(nonsense)
    pending.set_result(Reply({"value": 3}, []))
    assert pending.r == 3


def test_a_flushed_result_that_nobody_fetched_is_gone() -> None:
    pending = make()
    pending.flush()
    pending.set_result(Reply({"value": 3}, []))
    for fetch in (pending.result, pending.exception, lambda: pending.r):
        with pytest.raises(InvalidDeferredID, match="id-1"):
            fetch()
    assert pending.done()


def test_a_refused_request_has_failed() -> None:
    pending = make()
    assert not pending.failed()
    pending.set_result(Reply({"refused": {"ename": "ValueError", "evalue": "no"}}, []))
    assert pending.failed()
    with pytest.raises(ValueError, match="no"):
        pending.result()


def test_without_a_reply_nothing_was_printed() -> None:
    pending = make()
    assert (pending.stdout, pending.stderr, pending.outputs) == ({}, {}, [])
    pending.set_exception(ControllerUnreachable("it went"))
    assert (pending.stdout, pending.stderr, pending.outputs) == ({}, {}, [])
    assert not pending.running()


def test_an_engine_that_was_named_twice_has_printed_both() -> None:
    pending = make()
    pages = [
        to_pages("stream", b'{"name": "stdout", "text": "%b"}' % text) for text in (b"a", b"b")
    ]
    results = [{"id": 0, "ok": True, "outputs": len(each)} for each in pages]
    pending.set_result(Reply({"results": results}, [page for each in pages for page in each]))
    assert pending.stdout == {0: "ab"}


@pytest.mark.parametrize("timeout", [0, -0.5, -1, -1e9])
def test_a_timeout_that_is_over_is_a_look(timeout: float) -> None:
    pending = make()
    with pytest.raises(CallTimeout):
        pending.result(timeout)
    with pytest.raises(CallTimeout):
        pending.exception(timeout)
    assert pending.wait(timeout) is False
    pending.set_result(Reply({"value": 3}, []))
    assert pending.result(timeout) == 3
    assert pending.wait(timeout) is True


def test_a_failure_that_nobody_has_decoded_ends_a_wait_for_the_first_exception() -> None:
    bad, good, open_end = make(), make(), make()
    good.set_result(Reply({"value": 3}, []))
    refused = {"refused": {"ename": "ValueError", "evalue": "no"}}
    settle = threading.Timer(0.05, bad.set_result, [Reply(refused, [])])
    settle.start()
    try:
        waited = concurrent.futures.wait([good, bad, open_end], 20, "FIRST_EXCEPTION")
    finally:
        settle.join()
    assert waited.done == {good, bad}
    assert waited.not_done == {open_end}
