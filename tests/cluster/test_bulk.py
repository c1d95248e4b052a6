"""Bulk on its way to nodes: how often it travels, and what it keeps waiting."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kernelfleet.errors import CompositeError
from tests.cluster.fleets import FleetOnHosts
from tests.fleets import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Start = Callable[..., FleetOnHosts]

PAYLOAD_BYTES = 100_000_000


def test_a_value_for_all_engines_goes_into_each_node_once(on_hosts: Start) -> None:
    on = on_hosts()
    cables, hosts = on.network.cables, on.network.hosts
    on.mec.execute("1")
    before = [cables.into(host) for host in hosts]
    on.mec.push({"data": bytes(PAYLOAD_BYTES)})
    into = [cables.into(host) - was for host, was in zip(hosts, before, strict=True)]
    print(f"\n    100 MB pushed to six engines: {[each / 1e6 for each in into]} MB into each node")
    assert all(PAYLOAD_BYTES <= each <= 1.02 * PAYLOAD_BYTES for each in into)
    assert on.mec.execute("len(data)").values() == [PAYLOAD_BYTES] * 6


def test_an_interrupt_does_not_wait_behind_bulk_for_others(on_hosts: Start) -> None:
    on = on_hosts()
    for host in on.network.hosts:
        on.network.cables.slow(host, "1gbit")
    looping, others = [0, 1, 2], [3, 4, 5]  # one of each on every host
    assert {each.node for each in on.mec.engines() if each.id in looping} == {
        host.name for host in on.network.hosts
    }
    pending = on.mec.execute("while True: pass", targets=looping, block=False)
    eventually(pending.running)
    before = on.network.cables.into(on.network.hosts[0])
    push = on.mec.push({"bulk": bytes(5 * PAYLOAD_BYTES)}, targets=others, block=False)
    eventually(lambda: on.network.cables.into(on.network.hosts[0]) - before > 20_000_000)
    began = time.monotonic()
    on.mec.interrupt(targets=looping)
    with pytest.raises(CompositeError):
        pending.result(timeout=20)
    seconds = time.monotonic() - began
    print(f"\n    interrupt during a push of 500 MB at 1 Gbit/s: {seconds * 1000:.0f} ms")
    assert not push.done()
    assert seconds < 2.0  # 0.3 on a quiet machine; the push takes 4 s at the very least
    push.result(timeout=120)
    assert on.mec.execute("len(bulk)", targets=others).values() == [5 * PAYLOAD_BYTES] * 3
