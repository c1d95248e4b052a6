"""The server on stdin and stdout, or over HTTP on this machine's loopback with a token."""

from __future__ import annotations

import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

from kernelfleet.mcp.fleets import Fleets
from kernelfleet.mcp.tools import make_server

#: The only address on which the server listens: that of this machine's loopback.
HOST = "127.0.0.1"
PATH = "/mcp"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def over_stdio() -> None:
    """Serve one program, on stdin and stdout, until it closes them. Then end the own fleets."""
    with contextlib.closing(Fleets()) as fleets:
        server = make_server(fleets, log_level="WARNING")
        anyio.run(server.run_stdio_async)


def over_http(port: int, token: str, announce: Callable[[str], object]) -> None:
    """Serve programs of this machine that know the token, until Ctrl-C or SIGTERM.

    Args:
        port: The TCP port on ``HOST``; 0 takes a free one.
        token: What each request must say in its header ``Authorization: Bearer ...``.
        announce: Called with the address when it is served.
    """
    import uvicorn

    with contextlib.closing(Fleets()) as fleets:
        server = make_server(fleets, log_level="WARNING")
        app = with_token(server.streamable_http_app(streamable_http_path=PATH, host=HOST), token)
        config = uvicorn.Config(app, host=HOST, port=port, log_level="warning")
        with contextlib.closing(config.bind_socket()) as listener:
            # Listening by now: who reads the address waits while uvicorn loads the application,
            # and is not refused.
            listener.listen(config.backlog)
            announce(f"http://{HOST}:{listener.getsockname()[1]}{PATH}")
            uvicorn.Server(config).run(sockets=[listener])


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def with_token(app: App, token: str) -> App:
    """The application, behind a check of the token. Requests without it are answered with 401.

    Args:
        app: An ASGI application.
        token: The token; an empty one is refused, since everybody knows it.
    """
    if not token:
        raise ValueError("the token is empty: everybody on this machine could use the fleets")
    wanted = f"Bearer {token}".encode()

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        given = dict(scope.get("headers") or ()).get(b"authorization", b"")
        if scope["type"] == "http" and hmac.compare_digest(given, wanted):
            await app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            text = b"The token of `kernelfleet mcp` is missing or wrong.\n"
            await send({"type": "http.response.body", "body": text})

    return checked
