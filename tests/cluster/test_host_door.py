"""``kernelfleet start --host``: a controller on one machine, its client on another."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CompositeError
from tests.cluster.hosts import Capture, Host, Network, Running
from tests.fleets import eventually
from tests.journeys.test_sniffing import found_in, work

pytestmark = pytest.mark.slow

START = [sys.executable, "-m", "kernelfleet.cli", "start", "-n", "2"]


@pytest.fixture
def start(network: Network, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Start a fleet on a host; gives a copy of its connection file."""
    started: list[Running] = []

    def start(host: Host, *options: str) -> Path:
        runtime = network.folder / f"run-{secrets.token_hex(4)}"
        env = {"JUPYTER_RUNTIME_DIR": str(runtime)}
        fleet = host.popen([*START, *options], env=env, stdout=subprocess.PIPE, text=True)
        started.append(fleet)
        assert fleet.stdout is not None
        assert "is ready" in fleet.stdout.readline()
        copy = tmp_path / f"{host.name}.json"
        shutil.copy(runtime / "kernelfleet" / "default" / "fleet.json", copy)
        return copy

    yield start
    for fleet in started:
        fleet.end()


def test_a_copy_of_the_connection_file_works_on_another_machine(
    network: Network, start: Callable[..., Path]
) -> None:
    host = network.hosts[0]
    file = start(host, "--host", host.address)
    with MultiEngineClient(file) as mec:
        assert mec.execute("import socket; socket.gethostname()")[0].value == host.name
        with pytest.raises(CompositeError) as caught:
            mec.execute("1 / 0")
        assert str(caught.value.exceptions[0]) == "division by zero"
        assert mec.map(abs, range(-100, 0)) == list(range(100, 0, -1))
        mec.stop_fleet()
    host.assert_quiet()


def test_another_host_of_the_network_uses_it_too(
    network: Network, start: Callable[..., Path]
) -> None:
    one, two, _ = network.hosts
    file = start(one, "--host", "0.0.0.0")
    copy = network.folder / "copied.json"
    shutil.copy(file, copy)
    assert json.loads(file.read_text())["tcp"].startswith(f"tcp://{one.address}:")
    code = f"""
from kernelfleet import MultiEngineClient
with MultiEngineClient({str(copy)!r}) as mec:
    print(mec.execute("import socket; socket.gethostname()")[1].value)
"""
    assert two.run(sys.executable, "-c", code).strip() == one.name


def test_without_the_option_no_other_machine_reaches_it(
    network: Network, start: Callable[..., Path]
) -> None:
    one, two, _ = network.hosts
    port = json.loads(start(one).read_text())["tcp"].rpartition(":")[2]
    code = f"import socket; socket.create_connection(({one.address!r}, {port}), 5)"
    with pytest.raises(AssertionError, match="ConnectionRefusedError"):
        two.run(sys.executable, "-c", code)


def test_an_interrupt_and_small_calls_do_not_wait_behind_bulk(
    network: Network, start: Callable[..., Path]
) -> None:
    host = network.hosts[0]
    file = start(host, "--host", host.address)
    network.cables.slow(host, "1gbit")
    with MultiEngineClient(file) as mec:
        pending = mec.execute("while True: pass", targets=0, block=False)
        # 3 s on its way at the very least
        push = mec.push({"bulk": bytes(400_000_000)}, targets=1, block=False)
        eventually(lambda: network.cables.into(host) > 20_000_000)
        began = time.monotonic()
        mec.interrupt(targets=0)
        with pytest.raises(CompositeError):
            pending.result(timeout=10)
        assert mec.execute("1 + 1", targets=0)[0].value == 2
        assert time.monotonic() - began < 1.0  # some 0.1 s on a quiet machine
        assert not push.done()
        push.result(timeout=30)


def test_nothing_readable_crosses_the_network(
    network: Network, start: Callable[..., Path], tmp_path: Path
) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("a capture needs tcpdump")
    host = network.hosts[0]
    file = start(host, "--host", host.address)
    markers = [secrets.token_hex(12) for _ in range(4)]
    capture = Capture(network, tmp_path / "captured")
    with MultiEngineClient(file) as mec:
        work(mec, *markers)
    captured = capture.stop()
    assert len(captured) > 5_000_000
    assert found_in(captured, [*markers, json.loads(file.read_text())["key"]]) == []
