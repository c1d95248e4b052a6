"""nested.py: batches that are run in an engine's place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernelfleet.client.mapping.nested import run_here
from kernelfleet.wire.objects.serialize import pack, unpack


async def slowly(value: int) -> list[Any]:
    return list(pack(value))


def packed(value: int) -> list[Any]:
    return list(pack(value))


@pytest.mark.parametrize("function", [packed, slowly])
def test_a_batch_is_answered_as_by_an_engine(function: Callable[[int], Any]) -> None:
    reply = run_here(pack((function, (5,), {}))).result(0)
    (result,) = reply.header["results"]
    assert result["ok"]
    assert result["completed"] >= result["started"]
    assert unpack(unpack(reply.buffers)) == 5


def test_a_batch_that_cannot_be_run_says_why_as_an_engine_does() -> None:
    (result,) = run_here(pack((packed, (), {}))).result(0).header["results"]
    assert not result["ok"]
    assert (result["error"]["ename"], result["error"]["kind"]) == ("TypeError", "user")
