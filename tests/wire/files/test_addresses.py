from __future__ import annotations

import socket
from typing import Any

import pytest

from kernelfleet.wire.files.addresses import host_of, in_url, is_loopback, reachable_url


@pytest.mark.parametrize(
    ("url", "alone"),
    [
        ("tcp://127.0.0.1:10105", True),
        ("tcp://127.4.0.1:10105", True),
        ("tcp://localhost:10105", True),
        ("tcp://[::1]:10105", True),
        ("tcp://10.0.0.5:10105", False),
        ("tcp://[2001:db8::5]:10105", False),
        ("tcp://node-5.cluster:10105", False),
    ],
)
def test_loopback_is_what_other_machines_cannot_reach(url: str, alone: bool) -> None:
    assert is_loopback(url) is alone


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "node-5.cluster"])
def test_the_host_of_a_url_is_what_was_put_into_it(host: str) -> None:
    assert host_of(f"tcp://{in_url(host)}:10105") == host


def test_an_address_one_can_go_to_stays_as_it_is() -> None:
    assert reachable_url("tcp://10.0.0.5:10105") == "tcp://10.0.0.5:10105"


class FakeSocket:
    """Finds the way to the outside from one address, and sends nothing."""

    def __init__(self, family: socket.AddressFamily, _: object) -> None:
        self.own = {socket.AF_INET: "10.0.0.5", socket.AF_INET6: "2001:db8:7::5"}[family]

    def __enter__(self) -> FakeSocket:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, _: object) -> None:
        pass

    def getsockname(self) -> tuple[Any, ...]:
        return (self.own, 9)


def test_all_addresses_are_told_as_the_one_on_the_way_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "socket", FakeSocket)
    assert reachable_url("tcp://0.0.0.0:10105") == "tcp://10.0.0.5:10105"
    assert reachable_url("tcp://[::]:10105") == "tcp://[2001:db8:7::5]:10105"


def test_without_a_way_outside_all_addresses_are_told_as_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(*_: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(FakeSocket, "connect", connect)
    monkeypatch.setattr(socket, "socket", FakeSocket)
    assert reachable_url("tcp://0.0.0.0:10105") == "tcp://127.0.0.1:10105"
