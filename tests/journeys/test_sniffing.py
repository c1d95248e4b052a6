"""What travels over TCP says nothing to who captures it: no code, no data, no error, no output."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CompositeError
from tests.journeys.daemons import OwnFleet
from tests.journeys.networks import Network

#: What a ZMTP connection begins with, and the name of the mechanism in it.
GREETING, CURVE_MECHANISM = b"\xff", b"CURVE" + bytes(15)


def forms(marker: str) -> list[bytes]:
    """A marker as it might be found: plain, in base64 at any offset, in UTF-16, in hex."""
    raw = marker.encode()
    found = [raw, raw.hex().encode(), marker.encode("utf-16-le"), marker.encode("utf-16-be")]
    for offset in range(3):
        coded = base64.b64encode(bytes(offset) + raw + bytes(3))
        # without the characters that depend on its neighbours
        found.append(coded[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6])
    return found


def found_in(captured: bytes, markers: list[str]) -> list[str]:
    return [marker for marker in markers if any(form in captured for form in forms(marker))]


def work(mec: MultiEngineClient, code: str, data: str, error: str, output: str) -> None:
    """A session in which each marker travels, where it can in both directions."""
    mec.execute(f"x = {code!r}; x")
    payload = (data * 100_000).encode()
    mec.push({"payload": payload})
    assert mec.pull("payload") == [payload] * 2
    mec.execute(f"print({output!r}, flush=True)", on_output=lambda *_: None)
    with pytest.raises(CompositeError) as caught:
        mec.execute(f"raise ValueError({error!r})")
    assert str(caught.value.exceptions[0]) == error


@pytest.fixture
def markers() -> list[str]:
    return [f"{what}{secrets.token_hex(12)}" for what in ("code", "data", "error", "output")]


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    fleet = OwnFleet("tcp", n=2)
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")  # so that the bytes travel
    network = Network(fleet, tmp_path, record=True)
    yield network
    network.close()
    fleet.clean_up()


def test_nothing_readable_travels_over_tcp(network: Network, markers: list[str]) -> None:
    with network.client() as mec:
        work(mec, *markers)
    key = network.fleet_key
    for captured in network.proxy.recorded.values():
        assert captured.startswith(GREETING)
        assert CURVE_MECHANISM in captured[:64]
        assert len(captured) > 20_000_000 / 8
        assert not found_in(bytes(captured), [*markers, key])
        assert bytes.fromhex(key) not in captured


@pytest.mark.parametrize("marker", ["recognisable", "three bytes off", "another one"])
def test_the_search_finds_what_is_there_in_every_form(marker: str) -> None:
    noise = secrets.token_bytes(1000)
    raw = marker.encode()
    plain = [raw, raw.hex().encode(), marker.encode("utf-16-le"), marker.encode("utf-16-be")]
    coded = [base64.b64encode(b"!" * i + raw + b"?" * 5) for i in range(6)]
    for form in plain + coded:
        assert found_in(noise + form + noise, [marker]) == [marker]


@pytest.mark.slow
def test_the_search_finds_the_markers_on_a_connection_without_encryption(
    tmp_path: Path, markers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnFleet, "daemon", _PLAIN + OwnFleet.daemon)
    fleet = OwnFleet("tcp", n=2)
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")
    monkeypatch.setattr("kernelfleet.session.connection._encrypts", lambda _: False)
    network = Network(fleet, tmp_path, record=True)
    try:
        with network.client() as mec:
            work(mec, *markers)
        both = bytes(network.proxy.recorded["up"] + network.proxy.recorded["down"])
        assert found_in(both, markers) == markers
        assert CURVE_MECHANISM not in both
    finally:
        network.close()
        fleet.clean_up()


#: A daemon whose TCP socket does without CURVE: what no option of kernelfleet can bring about.
_PLAIN = """
import zmq
from kernelfleet.controller.door import server
class PlainSocket(zmq.Socket):
    def __setattr__(self, name, value):
        if name == "curve_server":
            super().__setattr__("plain_server", True)  # a password, and nothing encrypted
        elif not name.startswith("curve_"):
            super().__setattr__(name, value)
class PlainContext(zmq.Context):
    _socket_class = PlainSocket
zmq.Context = PlainContext
"""
