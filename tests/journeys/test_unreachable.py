"""No controller, or not ours: a clear refusal within five seconds, and nothing for strangers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from kernelfleet import MultiEngineClient
from kernelfleet.errors import ControllerUnreachable, FleetNotFound
from kernelfleet.session import reachability
from kernelfleet.wire.codec import Codec
from kernelfleet.wire.files import fleet_paths
from tests.fleets import SharedFleets
from tests.journeys.daemons import OwnFleet
from tests.journeys.raw import show_password

PROMISED_SECONDS = 5.0


@contextmanager
def refused(match: str) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(ControllerUnreachable, match=match):
        yield
    assert time.monotonic() - began < PROMISED_SECONDS


@pytest.fixture
def daemon_file(fleets: SharedFleets) -> dict[str, Any]:
    """The connection file of the shared daemon, as a dict to be changed."""
    fleets.client("unix").close()
    found: dict[str, Any] = json.loads((fleet_paths.fleet_dir("shared") / "fleet.json").read_text())
    return found


@pytest.fixture
def changed(daemon_file: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    def changed(**fields: object) -> Path:
        path = tmp_path / "fleet.json"
        path.write_text(json.dumps({**daemon_file, **fields}))
        return path

    return changed


@pytest.fixture
def soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a second only; one test waits for as long as users do."""
    monkeypatch.setattr(reachability, "RECONNECT_TIMEOUT", 1.0)


def test_a_stale_connection_file_is_told_from_a_running_fleet(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    fleet = own_fleet(1)
    content = (fleet.directory / "fleet.json").read_text()
    fleet.stop()
    fleet.directory.mkdir(parents=True)
    (fleet.directory / "fleet.json").write_text(content)
    with refused("no controller at .*kernelfleet start"):
        MultiEngineClient(fleet.name)
    with pytest.raises(FleetNotFound, match="kernelfleet start"):
        MultiEngineClient(("127.0.0.1", fleet.port))


@pytest.mark.usefixtures("soon_given_up")
def test_nobody_at_a_tcp_address_is_told_with_what_to_do(changed: Callable[..., Path]) -> None:
    with refused("nobody listens there.*kernelfleet start"):
        MultiEngineClient(changed(ipc=None, tcp="tcp://127.0.0.1:1"))


@pytest.mark.usefixtures("soon_given_up")
def test_a_wrong_key_on_the_unix_socket_is_refused_with_a_hint(
    changed: Callable[..., Path],
) -> None:
    with refused("refuses our key"):
        MultiEngineClient(changed(key="00" * 32))


@pytest.mark.usefixtures("soon_given_up")
def test_a_wrong_key_on_tcp_is_refused_with_a_hint(changed: Callable[..., Path]) -> None:
    with refused("key is wrong"):
        MultiEngineClient(changed(ipc=None, key="00" * 32))


def test_an_unknown_client_key_is_refused_by_name(changed: Callable[..., Path]) -> None:
    public, secret = zmq.curve_keypair()
    with refused("refuses our key"):
        MultiEngineClient(
            changed(ipc=None, client_public_key=public.decode(), client_secret_key=secret.decode())
        )


def test_another_server_key_is_refused_by_name(changed: Callable[..., Path]) -> None:
    public, _ = zmq.curve_keypair()
    with refused("another server key"):
        MultiEngineClient(changed(ipc=None, server_public_key=public.decode()))


@pytest.mark.parametrize(
    ("version", "what_to_do"),
    [(999, "pip install 'kernelfleet==9.9.9' here"), (1, "`kernelfleet stop shared`")],
)
def test_a_fleet_of_another_version_is_refused_with_both_versions_and_what_to_do(
    changed: Callable[..., Path], version: int, what_to_do: str
) -> None:
    path = changed(version=version, kernelfleet="9.9.9")
    with refused(f"runs kernelfleet 9.9.9, protocol {version}, and this client.*{what_to_do}"):
        MultiEngineClient(path)


def test_a_server_that_is_no_controller_is_refused_by_name(changed: Callable[..., Path]) -> None:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind("tcp://127.0.0.1:*")
    try:
        with refused("is no kernelfleet controller"):
            MultiEngineClient(changed(ipc=None, tcp=socket.getsockopt_string(zmq.LAST_ENDPOINT)))
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("curve", [False, True], ids=["no CURVE", "own CURVE key"])
def test_an_unauthenticated_tcp_peer_gets_nothing_even_with_the_fleets_key(
    daemon_file: dict[str, Any], curve: bool, fleets: SharedFleets
) -> None:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    if curve:
        socket.curve_serverkey = daemon_file["server_public_key"].encode()
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.connect(daemon_file["tcp"])
    hello = Codec(bytes.fromhex(daemon_file["key"])).encode({"type": "hello", "version": 1})
    try:
        for _ in range(3):
            socket.send_multipart(hello)
        # an answer to a welcome one takes a millisecond; the round trips below are later than it
        with fleets.client("tcp") as mec:
            for _ in range(20):
                assert mec.get_ids()
        assert not socket.poll(200)
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("password", [False, True], ids=["no password", "the password"])
def test_garbage_on_the_unix_socket_disturbs_nobody_and_is_not_answered(
    daemon_file: dict[str, Any], fleets: SharedFleets, password: bool
) -> None:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    if password:
        show_password(socket, bytes.fromhex(daemon_file["key"]))
    socket.connect(daemon_file["ipc"])
    try:
        for frames in ([b""], [b"x"] * 10, [b"", b"{}"], [b"\xff" * 32, b'{"type": "hello"}']):
            socket.send_multipart(frames)
        with fleets.client("unix") as mec:
            assert mec.execute("1", timeout=20)[0]["id"] == 0
        assert not socket.poll(200)
    finally:
        context.destroy(linger=0)


def test_malformed_requests_of_an_authenticated_client_are_answered_with_errors(
    fleets: SharedFleets,
) -> None:
    with fleets.client("unix") as mec:
        for header in (
            {"type": "request"},
            {"type": "request", "operation": "no such verb"},
            {"type": "request", "operation": "execute"},
            {"type": "request", "operation": "execute", "targets": "all", "result_id": "x"},
            {"type": "request", "operation": "execute", "targets": [[0]], "result_id": "x"},
            {
                "type": "request",
                "operation": "push",
                "targets": [0],
                "result_id": "x",
                "payloads": [3],
            },
            {
                "type": "request",
                "operation": "push",
                "targets": [0],
                "result_id": "x",
                "payloads": None,
            },
            {
                "type": "request",
                "operation": "pull",
                "targets": [0],
                "result_id": "y",
                "content": [],
            },
            {
                "type": "request",
                "operation": "execute",
                "targets": [0],
                "result_id": "z",
                "content": {},
            },
            {"type": "request", "operation": "peek", "targets": [0]},
            {"type": "request", "operation": "scale", "engines": "many"},
            {"type": "request", "operation": "cancel"},
            {"type": "request", "operation": ["x"]},
            {"type": "no such type"},
        ):
            reply = mec._connection.request(dict(header), []).result(10).header
            refused_or_failed = reply.get("refused") or not reply["results"][0]["ok"]
            assert refused_or_failed, header
        assert mec.execute("1", timeout=20)[0]["id"] == 0
