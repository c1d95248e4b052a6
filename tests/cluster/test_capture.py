"""What crosses the network between a head and its nodes says nothing to who captures it."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet import Fleet
from tests.cluster.certificates import Certificates
from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.fleets import FleetOnHosts
from tests.cluster.hosts import ROOT, Capture, Network
from tests.journeys.test_sniffing import found_in, work

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _tcpdump() -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("a capture needs tcpdump")


@pytest.fixture
def markers() -> list[str]:
    return [f"{what}{secrets.token_hex(12)}" for what in ("code", "data", "error", "output")]


def test_no_frame_between_machines_can_be_read(
    on_hosts: Callable[..., FleetOnHosts],
    dask_hosts: DaskHosts,
    tmp_path: Path,
    markers: list[str],
) -> None:
    capture = Capture(dask_hosts.network, tmp_path / "captured")
    on = on_hosts(2, on_start=f"{markers[0]} = 1", env={"MARKER": markers[1]})
    with on.mec as mec:
        work(mec, *markers)
    on.fleet.stop()
    captured = capture.stop()
    assert len(captured) > 10_000_000  # the data went to each node and came back
    assert found_in(captured, markers) == []


#: Imported by every Python on the hosts; takes the encryption out of the door of nodes.
_SITECUSTOMIZE = """
import sys
if "kernelfleet.node" in sys.orig_argv:
    import zmq
    from kernelfleet.controller.door import server
    from kernelfleet.wire.handshake import PLAIN_USERNAME, plain_password

    class PlainSocket(zmq.Socket):
        def __setattr__(self, name, value):
            if name == "curve_server":
                super().__setattr__("plain_server", True)  # a password, and nothing encrypted
            elif not name.startswith("curve_"):
                super().__setattr__(name, value)

    class PlainContext(zmq.Context):
        _socket_class = PlainSocket

    zmq.Context = PlainContext
    listen_tcp = server.Server.listen_tcp

    def listen(self, *args, **options):
        passwords = {PLAIN_USERNAME.decode(): plain_password(self._key)}
        self._authentication().configure_plain(domain=server.ZAP_DOMAIN, passwords=passwords)
        return listen_tcp(self, *args, **options)

    server.Server.listen_tcp = listen
"""


def test_the_same_capture_without_encryption_shows_all_of_it(
    network: Network,
    certificates: Certificates,
    tmp_path: Path,
    markers: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    (network.folder / "plain").mkdir()
    (network.folder / "plain" / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    monkeypatch.setattr("kernelfleet.session.connection._encrypts", lambda _: False)
    with dask.config.set(certificates.settings):
        hosts = DaskHosts(network, certificates)
        try:
            for host in network.hosts[:2]:
                hosts.worker(host, env={"PYTHONPATH": f"{network.folder}/plain:{ROOT}"})
            hosts.wait(2)
            capture = Capture(network, tmp_path / "captured")
            with Fleet(2, cluster=hosts.address) as mec:
                work(mec, *markers)
            assert found_in(capture.stop(), markers) == markers
        finally:
            hosts.close()
