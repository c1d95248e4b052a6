"""What becomes of a fleet on three machines when something breaks.

Each test prints what it has measured (``pytest -s``); its limits leave room for a busy machine.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import pytest

from kernelfleet.client.results.pending import PendingResult
from kernelfleet.errors import CompositeError, EngineDied, InvalidEngineID
from kernelfleet.results import ResultList
from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.fleets import OURS, FleetOnHosts, assert_nothing_of_ours, seconds_until_told
from tests.cluster.hosts import Host, sh
from tests.fleets import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Start = Callable[..., FleetOnHosts]

MEGABYTES = 100_000_000


def told(what: str, seconds: float) -> None:
    """Say what was measured."""
    print(f"\n    {what}: {seconds * 1000:.0f} ms", flush=True)


def sleeping(on: FleetOnHosts, ids: list[int]) -> PendingResult[ResultList]:
    """A command that engines are at, until they are ended."""
    pending = on.mec.execute("import time; time.sleep(600)", targets=ids, block=False)
    eventually(pending.running)
    return pending


def still_work(on: FleetOnHosts, ids: list[int]) -> None:
    """These engines have what they had, and answer."""
    assert on.mec.execute("kept + engine_id", targets=ids).values() == [100 + i for i in ids]


# -- ends of processes ------------------------------------------------------------------------


def test_the_death_of_an_engine_is_told_at_once(on_hosts: Start) -> None:
    on = on_hosts()
    host = on.network.hosts[1]
    engine, other = on.engines(host)
    pending = sleeping(on, [engine.id])
    on.process(host, engine).send_signal(signal.SIGKILL)
    seconds, error = seconds_until_told(pending.result)
    told("engine killed", seconds)
    assert seconds < 0.5  # 0.1 on a quiet machine
    died = error.exceptions[0]
    assert isinstance(died, EngineDied)
    assert "signal 9" in str(died) or "SIGKILL" in str(died)
    assert on.mec.get_ids() == [i for i in range(6) if i != engine.id]
    on.mec.restart(engine.id)
    assert on.mec.execute("engine_id", targets=[engine.id, other.id]).values() == [
        engine.id,
        other.id,
    ]


@pytest.mark.parametrize("what", ["node", "worker", "host"])
def test_the_end_of_a_node_is_told_at_once_and_leaves_nothing(on_hosts: Start, what: str) -> None:
    on = on_hosts()
    on.mec.execute("kept = 100")
    host, *others = on.network.hosts
    lost = on.ids(host)
    pending = sleeping(on, lost)
    if what == "node":
        on.node(host).kill()
    elif what == "worker":
        for process in host.find("dask worker") + host.find("multiprocessing.spawn"):
            process.kill()
    else:
        host.crash()
    seconds, error = seconds_until_told(pending.result)
    told(f"{what} killed", seconds)
    assert seconds < 1.0  # 0.2 on a quiet machine
    assert all(isinstance(each, EngineDied) for each in error.exceptions)
    assert host.name in str(error)
    if host.is_up:
        began = time.monotonic()
        host.assert_quiet(OURS, 2.0)
        told(f"nothing left of the node after its {what}", time.monotonic() - began)
    left = [i for other in others for i in on.ids(other)]
    still_work(on, left)
    on.mec.restart(lost)
    names = on.mec.execute("import socket; socket.gethostname()", targets=lost).values()
    assert set(names) <= {other.name for other in others} | ({host.name} if host.is_up else set())
    assert on.mec.get_ids() == list(range(6))
    still_work(on, left)


def test_engines_of_a_lost_node_come_back_elsewhere_if_the_policy_says_so(on_hosts: Start) -> None:
    on = on_hosts(restart="on-death", on_start="kept = 100")
    host, *_ = on.network.hosts
    lost = on.ids(host)
    began = time.monotonic()
    host.crash()
    eventually(lambda: set(lost).isdisjoint(on.mec.get_ids()), 5)
    eventually(lambda: on.mec.get_ids() == list(range(6)), 20)
    told("engines of a crashed host are back", time.monotonic() - began)
    still_work(on, lost)
    assert on.mec.execute("n_engines").values() == [6] * 6


# -- cables ------------------------------------------------------------------------------------


def test_unplugged_nodes_are_given_up_and_end_themselves(on_hosts: Start) -> None:
    on = on_hosts()
    on.mec.execute("kept = 100")
    working, idle, other = on.network.hosts
    at_work, lost = on.ids(working), sorted(on.ids(working) + on.ids(idle))
    pending = sleeping(on, at_work)
    began = time.monotonic()
    for host in (working, idle):
        on.network.cables.unplug(host)
    _, error = seconds_until_told(pending.result)
    told("unplugged while working", time.monotonic() - began)
    assert working.name in str(error)
    assert sorted(getattr(each, "engine_id", -1) for each in error.exceptions) == at_work
    eventually(lambda: set(lost).isdisjoint(on.mec.get_ids()), 20)
    told("unplugged while idle", time.monotonic() - began)
    assert time.monotonic() - began < 12.0
    still_work(on, on.ids(other))
    for host in (working, idle):
        host.assert_quiet(OURS, 35.0 - (time.monotonic() - began))
    told("the nodes that were cut off have ended themselves", time.monotonic() - began)
    for host in (working, idle):
        on.network.cables.plug(host)
    with pytest.raises(InvalidEngineID, match="lost with its node"):
        on.mec.execute("1", targets=lost)
    on.mec.restart(lost)
    assert on.mec.get_ids() == list(range(6))


def test_nothing_is_lost_when_a_cable_is_out_for_four_seconds(on_hosts: Start) -> None:
    on = on_hosts()
    host = on.network.hosts[0]
    before = on.mec.execute("total = 0\nimport time\ntime.sleep(1)", block=False)
    queued = [on.mec.execute(f"total += {i}; total", block=False) for i in range(20)]
    on.network.cables.unplug(host)
    time.sleep(4.0)
    on.network.cables.plug(host)
    began = time.monotonic()
    before.result(timeout=20)
    for pending in queued:
        pending.result(timeout=20)
    told("all results after the cable is back", time.monotonic() - began)
    sums = [sum(range(i + 1)) for i in range(20)]
    assert [pending.r.values() for pending in queued] == [[each] * 6 for each in sums]
    assert on.mec.pull("total") == [sum(range(20))] * 6


@pytest.mark.parametrize("after", [0.1, 0.4])
def test_a_push_is_whole_though_every_connection_was_reset(on_hosts: Start, after: float) -> None:
    on = on_hosts()
    data = bytes(range(256)) * (MEGABYTES // 256)
    began = time.monotonic()
    pending = on.mec.push({"data": data}, block=False)
    time.sleep(after)
    for host in on.network.hosts:
        reset_sessions(on, host)
    pending.result(timeout=60)
    told(f"push of 100 MB, reset after {after} s", time.monotonic() - began)
    digests = on.mec.execute("import hashlib; hashlib.sha256(data).hexdigest()").values()
    assert digests == [hashlib.sha256(data).hexdigest()] * 6


def reset_sessions(on: FleetOnHosts, host: Host) -> None:
    """Reset the head's connections with a node, and leave Dask its own."""
    port = _port_of_node(on, host)
    argv = ("ip", "netns", "exec", host.name, "ss", "-K", "sport", "=", f":{port}")
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert str(port) in said, "nothing was reset"


def _port_of_node(on: FleetOnHosts, host: Host) -> int:
    said = sh("ip", "netns", "exec", host.name, "ss", "-Htlnp")
    ours = [line for line in said.splitlines() if f"pid={on.node(host).pid}," in line]
    (port,) = {line.split()[3].rpartition(":")[2] for line in ours if host.address in line}
    return int(port)


def test_output_is_whole_in_order_and_once_though_connections_were_reset(on_hosts: Start) -> None:
    on = on_hosts(limits={"output_bytes": None})
    code = """
        for i in range(200_000):
            print(i)
    """
    pending = on.mec.execute(textwrap.dedent(code), block=False)
    time.sleep(0.5)
    for _ in range(2):
        for host in on.network.hosts:
            reset_sessions(on, host)
        time.sleep(1.5)
    results: ResultList = pending.result(timeout=120)
    expected = "".join(f"{i}\n" for i in range(200_000))
    assert [len(text) for text in results.stdout] == [len(expected)] * 6
    assert all(text == expected for text in results.stdout)


# -- Dask and the head ---------------------------------------------------------------------------


def test_engines_outlive_dasks_scheduler_and_stop_leaves_nothing(
    on_hosts: Start, dask_hosts: DaskHosts
) -> None:
    on = on_hosts()
    on.mec.execute("kept = 100")
    pending = on.mec.execute("import time; time.sleep(5); engine_id", block=False)
    dask_hosts.scheduler.kill()
    dask_hosts.scheduler.wait()
    assert pending.result(timeout=30).values() == list(range(6))
    still_work(on, list(range(6)))
    on.mec.restart(0)
    began = time.monotonic()
    on.fleet.stop()
    told("stop without a scheduler", time.monotonic() - began)
    assert time.monotonic() - began < 10.0
    assert_nothing_of_ours(on.network)


def test_stop_takes_a_moment_and_leaves_nothing(on_hosts: Start) -> None:
    on = on_hosts()
    on.mec.execute("while True: pass", block=False)
    began = time.monotonic()
    on.fleet.stop()
    told("stop with engines in tight loops", time.monotonic() - began)
    assert time.monotonic() - began < 3.0  # 1.0 on a quiet machine
    assert_nothing_of_ours(on.network, 1.0)
    with on.dask.client() as client:
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 3


_HEAD = """
import sys
from kernelfleet import Fleet
mec = Fleet(6, cluster=sys.argv[1]).start()
pending = mec.execute("print('on', flush=True)\\nwhile True: pass", block=False)
while len(pending.stdout) < 6: pass
print("looping", flush=True)
pending.result()
"""


def test_nothing_is_left_of_a_fleet_whose_head_is_killed(dask_hosts: DaskHosts) -> None:
    head = subprocess.Popen(
        [sys.executable, "-c", _HEAD, dask_hosts.address],
        stdout=subprocess.PIPE,
        env={**dask_hosts.network.hosts[0].environment(), **dask_hosts.environment},
    )
    try:
        assert head.stdout is not None
        assert head.stdout.readline() == b"looping\n"
        assert all(host.find(OURS) for host in dask_hosts.network.hosts)
        head.kill()
        head.wait()
        seconds = assert_nothing_of_ours(dask_hosts.network, 6.0)
        told("nothing is left of a fleet whose head was killed", seconds)
        assert seconds < 5.0  # 3.0 on a quiet machine
    finally:
        head.kill()
        head.wait()
        assert head.stdout is not None
        head.stdout.close()


def test_results_come_as_errors_of_the_engines_that_were_lost_alone(on_hosts: Start) -> None:
    on = on_hosts()
    host = on.network.hosts[2]
    lost = on.ids(host)
    on.mec.push({"lost": lost})
    pending = on.mec.execute(
        "import time\nif engine_id in lost: time.sleep(600)\nengine_id", block=False
    )
    eventually(lambda: pending.progress[0] == 4)
    on.node(host).kill()
    with pytest.raises(CompositeError) as caught:
        pending.result(timeout=10)
    assert sorted(caught.value.results) == [i for i in range(6) if i not in lost]
