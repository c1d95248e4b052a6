"""packet_socket.py: a message is a packet, or is refused; the other end is this user's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.wire.files.packet_socket import (
    MAX_FRAMES,
    MAX_PACKET_BYTES,
    Listener,
    PacketSocket,
    connect,
)
from kernelfleet.wire.platforms import HERE

pytestmark = pytest.mark.skipif(not HERE.packets, reason="needs Linux")


@pytest.fixture
def ends() -> Iterator[tuple[PacketSocket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield PacketSocket(one), other


@given(st.lists(st.binary(max_size=50), max_size=MAX_FRAMES))
def test_frames_come_back_as_they_were(frames: list[bytes]) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        sender, receiver = PacketSocket(one), PacketSocket(other)
        assert receiver.receive() is None
        assert sender.send(frames)
        assert receiver.receive() == frames
        assert receiver.receive() is None


def test_all_kinds_of_buffers_are_sent(ends: tuple[PacketSocket, socket.socket]) -> None:
    sender, other = ends
    assert sender.send([b"bytes", memoryview(b"view"), zmq.Frame(b"frame"), bytearray(b"array")])
    assert PacketSocket(other).receive() == [b"bytes", b"view", b"frame", b"array"]


def test_what_a_packet_cannot_carry_is_refused_and_nothing_is_sent(
    ends: tuple[PacketSocket, socket.socket],
) -> None:
    sender, other = ends
    assert sender.send([b"x" * (MAX_PACKET_BYTES - 1), b"y"])
    assert not sender.send([b"x" * MAX_PACKET_BYTES, b"y"])
    assert not sender.send([b""] * (MAX_FRAMES + 1))
    receiver = PacketSocket(other)
    assert list(map(len, receiver.receive() or ())) == [MAX_PACKET_BYTES - 1, 1]
    assert receiver.receive() is None


def test_an_end_that_does_not_read_or_is_gone_gets_nothing_more_and_nobody_waits(
    ends: tuple[PacketSocket, socket.socket],
) -> None:
    sender, other = ends
    sent = 0
    while sender.send([b"x" * 30_000]):
        sent += 1
        assert sent < 1000
    other.close()
    assert not sender.send([b"x"])


@pytest.mark.parametrize(
    "packet", [b"\1", b"\2" + struct.pack("<2I", 1, 5) + b"abc", b"\0x", bytes(40)], ids=repr
)
def test_a_packet_of_something_else_ends_the_connection(
    packet: bytes, ends: tuple[PacketSocket, socket.socket]
) -> None:
    receiver, other = ends
    other.send(packet)
    with pytest.raises(EOFError):
        receiver.receive()


def test_the_end_of_the_other_side_is_noticed(ends: tuple[PacketSocket, socket.socket]) -> None:
    receiver, other = ends
    other.close()
    with pytest.raises(EOFError):
        receiver.receive()


def test_a_controller_connects_and_the_path_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "e.json-packets"
    listener = Listener(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert listener.accept() is None
    ours = connect(str(path))
    assert ours is not None
    assert not path.exists()
    theirs = listener.accept()
    assert theirs is not None
    listener.close()
    assert ours.send([b"hello"])
    assert theirs.receive() == [b"hello"]
    ours.close()
    theirs.close()


def test_nobody_of_another_user_is_let_in_or_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "s")
    listener = Listener(path)
    monkeypatch.setattr("os.geteuid", lambda: -7)
    assert connect(path) is None
    assert listener.accept() is None
    listener.close()


def test_where_nobody_listens_there_is_no_connection(tmp_path: Path) -> None:
    assert connect(str(tmp_path / "nothing")) is None
    (tmp_path / "file").touch()
    assert connect(str(tmp_path / "file")) is None
    assert connect(str(tmp_path / ("long" * 50))) is None
    with pytest.raises(FileNotFoundError):
        Listener(str(tmp_path / "missing" / "s"))


def test_an_engine_that_accepts_and_removes_the_file_at_once_is_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "packets")
    listener = Listener(path)

    def accepted_before(connected: socket.socket) -> bool:
        listener.close()
        return bool(connected)

    monkeypatch.setattr("kernelfleet.wire.files.packet_socket.is_of_this_user", accepted_before)
    connected = connect(path)
    assert connected is not None
    connected.close()
