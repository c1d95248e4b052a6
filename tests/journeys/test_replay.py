"""What was captured is sent again, to a real daemon: nothing runs, and nobody is disturbed."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import zmq

from kernelfleet import MultiEngineClient
from kernelfleet.session.connection import Connection
from kernelfleet.wire.files import connection_file
from tests.fleets import NAME, SharedFleets, make_ready
from tests.journeys.proxies import Proxy
from tests.journeys.raw import show_password


@pytest.fixture
def victim(fleets: SharedFleets) -> Iterator[MultiEngineClient]:
    with fleets.client("unix") as cleaner:
        make_ready(cleaner)
        cleaner.push({"x": 0})
        yield cleaner


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The frames that clients of this process send from now on."""
    frames: list[list[Any]] = []
    send = Connection.send

    def record(line: Connection, header: dict[str, Any], data: list[Any]) -> None:
        frames.append(line._outgoing.encode(header, data))
        send(line, header, data)

    monkeypatch.setattr(Connection, "send", record)
    return frames


@pytest.mark.parametrize("left", [False, True], ids=["while it is there", "after it has left"])
def test_captured_messages_run_nothing_on_the_unix_socket(
    fleets: SharedFleets, victim: MultiEngineClient, captured: list[list[Any]], left: bool
) -> None:
    client = fleets.client("unix")
    client.execute("x += 1")
    said = [[bytes(frame) for frame in frames] for frames in captured]
    types = [frames[1] for frames in said]
    assert any(b'"hello"' in header for header in types)
    assert any(b"x += 1" in header for header in types)
    if left:
        client.close()
    file = connection_file.read(NAME)
    url = file.ipc
    assert url is not None
    context: zmq.Context[Any] = zmq.Context()
    for routing_id in (client._connection.client_id.encode(), f"not {left}".encode()):
        with context.socket(zmq.DEALER) as thief:
            thief.linger = 0
            thief.setsockopt(zmq.ROUTING_ID, routing_id)
            show_password(thief, bytes.fromhex(file.key))  # it was captured as well
            thief.connect(url)
            for frames in said:
                thief.send_multipart(frames)
            assert thief.poll(10_000)  # a challenge, which it has no key to answer
            assert b'"challenge"' in thief.recv_multipart()[1]
            assert victim.execute("x", timeout=20).values() == [1] * 4
            assert not thief.poll(100)
    context.destroy(linger=0)
    if not left:
        assert client.execute("x += 1; x", timeout=20).values() == [2] * 4
        client.close()


def test_captured_bytes_run_nothing_over_tcp(
    fleets: SharedFleets, victim: MultiEngineClient, tcp_file: Callable[[str], Path]
) -> None:
    proxy = Proxy(fleets.daemon.port, record=True)
    with MultiEngineClient(tcp_file(proxy.url)) as client:
        client.execute("x += 1")
    proxy.close()
    with socket.create_connection(("127.0.0.1", fleets.daemon.port)) as thief:
        thief.settimeout(20)
        thief.sendall(bytes(proxy.recorded["up"]))
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # it closes before it has read all
            while piece := thief.recv(65536):  # until the daemon closes the connection
                answer += piece
    assert len(answer) < 300  # its greeting, and its part of a handshake that fails
    assert victim.execute("x", timeout=20).values() == [1] * 4


@pytest.fixture
def tcp_file(fleets: SharedFleets, tmp_path: Path) -> Callable[[str], Path]:
    """A connection file of the shared daemon with another TCP address."""

    def tcp_file(url: str) -> Path:

        path = tmp_path / "fleet.json"
        path.write_text(json.dumps({**asdict(connection_file.read(NAME)), "ipc": None, "tcp": url}))
        return path

    return tcp_file
