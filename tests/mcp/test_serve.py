from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

pytest.importorskip("mcp", reason="kernelfleet[mcp] is not installed")

from kernelfleet.mcp.serve import new_token, with_token


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "inner", "of": scope["type"]})


def asked(kind: str, *headers: tuple[bytes, bytes]) -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is read of a request without the token")

    scope = {"type": kind, "headers": list(headers)}

    async def ask() -> None:
        await with_token(inner, "secret")(scope, receive, send)

    asyncio.run(ask())
    return sent


def test_whoever_has_the_token_gets_in() -> None:
    assert asked("http", (b"authorization", b"Bearer secret")) == [{"type": "inner", "of": "http"}]
    assert asked("lifespan") == [{"type": "inner", "of": "lifespan"}]


@pytest.mark.parametrize("given", [b"", b"secret", b"Bearer Secret", b"Basic secret", b"Bearer "])
def test_whoever_has_not_is_answered_401(given: bytes) -> None:
    start, body = asked("http", (b"authorization", given))
    assert start["status"] == 401
    assert b"token" in body["body"]


def test_other_protocols_are_not_answered() -> None:
    assert asked("websocket", (b"authorization", b"Bearer secret")) == []


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ValueError, match="token is empty"):
        with_token(inner, "")
    assert len(new_token()) >= 40
    assert new_token() != new_token()
