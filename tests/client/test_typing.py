"""What a type checker knows of a call. Nothing of it runs: mypy checks it with everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, assert_type

import pytest

if TYPE_CHECKING:
    import kernelfleet
    from kernelfleet import MultiEngineClient, PendingResult
    from kernelfleet.client.executor.tasks import TaskFuture
    from kernelfleet.client.verbs.engines import EngineQueue
    from kernelfleet.results import ResultList


async def later(x: int) -> str:
    return str(x)


def square(x: int) -> int:
    return x * x


def what_blocking_calls_return(mec: MultiEngineClient) -> None:
    assert_type(mec.execute("1", block=True), ResultList)
    assert_type(mec.run("script.py", block=True), ResultList)
    assert_type(mec.push({"a": 1}, "all", True), list[None])
    assert_type(mec.pull("a", block=True, timeout=3), list[Any])
    assert_type(mec.keys(block=True), list[list[str]])
    assert_type(mec.queue_status(block=True), list[tuple[int, EngineQueue]])
    assert_type(mec.get_properties(block=True), list[dict[str, Any]])
    assert_type(mec.has_properties("gpu", block=True), list[list[bool]])
    assert_type(mec.scale(3, block=True), list[int])
    assert_type(mec.apply(square, 3, block=True), list[int])
    assert_type(mec.apply(later, 3, block=True), list[str])
    assert_type(mec.map(square, [1], block=True), list[int])
    assert_type(mec.map(later, [1], block=True), list[str])


def what_non_blocking_calls_return(mec: MultiEngineClient) -> None:
    assert_type(mec.execute("1", block=False), PendingResult[ResultList])
    assert_type(mec.execute("1", 0, False), PendingResult[ResultList])
    assert_type(mec.scatter("a", [1], block=False), PendingResult[list[None]])
    assert_type(mec.restart(block=False), PendingResult[list[None]])
    assert_type(mec.apply(square, 3, block=False), PendingResult[list[int]])
    assert_type(mec.map(later, [1], block=False), PendingResult[list[str]])
    assert_type(mec.map("abs", [1], block=False), PendingResult[list[Any]])
    assert_type(mec.execute("1", block=False).result()[0].stdout, str)


def what_is_left_to_the_client_may_be_anything(mec: MultiEngineClient, block: bool) -> None:
    assert_type(mec.execute("1"), ResultList | Any)
    assert_type(mec.execute("1", block=block), ResultList | Any)
    assert_type(mec.map(square, [1]), list[int] | Any)
    assert_type(mec.imap(square, [1]), Iterator[int])
    assert_type(mec.imap_unordered(later, [1]), Iterator[str])


async def what_pending_results_give(pending: PendingResult[int]) -> None:
    assert_type(pending.r, int)
    assert_type(pending.result(3), int)
    assert_type(pending.get_result(), int)
    assert_type(pending.get_result(timeout=3), int)
    assert_type(pending.get_result("none yet", block=False), int | str)
    assert_type(pending.get_result(block=False), int | None)
    assert_type(await pending, int)
    assert_type(kernelfleet.wait([pending]).done, list[PendingResult[int]])
    assert_type(kernelfleet.as_completed([pending]), Iterator[PendingResult[int]])


def what_tasks_give(mec: MultiEngineClient) -> None:
    with mec.executor() as executor:
        assert_type(executor.submit(square, 3), TaskFuture[int])


@pytest.mark.parametrize("verb", ["execute", "push", "pull", "apply", "map", "restart"])
def test_overloads_are_there_for_editors(verb: str) -> None:
    from typing import get_overloads

    from kernelfleet import MultiEngineClient

    assert len(get_overloads(getattr(MultiEngineClient, verb))) >= 4
