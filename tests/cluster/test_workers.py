"""Workers of Dask that come, go, lack something, or are not to be trusted."""

from __future__ import annotations

import pytest

from kernelfleet import Fleet
from kernelfleet.errors import StartError
from tests.cluster.certificates import Certificates
from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.fleets import assert_nothing_of_ours
from tests.cluster.hosts import Network
from tests.fleets import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def dask(network: Network, certificates: Certificates):  # type: ignore[no-untyped-def]
    """A scheduler without workers."""
    pytest.importorskip("distributed")
    import dask

    with dask.config.set(certificates.settings):
        hosts = DaskHosts(network, certificates)
        yield hosts
        hosts.close()


def test_a_worker_that_comes_late_is_used_when_the_fleet_grows(dask: DaskHosts) -> None:
    one, two, _ = dask.network.hosts
    dask.worker(one)
    dask.wait(1)
    with Fleet(2, cluster=dask.address, per_node=2) as mec:
        with pytest.raises(StartError, match="room"):
            mec.scale(4)
        dask.worker(two)
        dask.wait(2)
        assert mec.scale(4) == [0, 1, 2, 3]
        assert [each.node for each in mec.engines()] == [one.name] * 2 + [two.name] * 2
        assert mec.execute("n_engines, node, local_rank, local_size").values() == [
            (4, one.name, 0, 2), (4, one.name, 1, 2), (4, two.name, 0, 2), (4, two.name, 1, 2),
        ]  # fmt: skip


def test_a_worker_that_is_retired_ends_its_engines_and_no_others(dask: DaskHosts) -> None:
    one, two, _ = dask.network.hosts
    for host in (one, two):
        dask.worker(host)
    dask.wait(2)
    with Fleet(4, cluster=dask.address) as mec, dask.client() as client:
        on_one = [each.id for each in mec.engines() if each.node == one.name]
        addresses = client.run(lambda: __import__("socket").gethostname())
        client.retire_workers([a for a, name in addresses.items() if name == one.name])
        eventually(lambda: set(on_one).isdisjoint(mec.get_ids()))
        one.assert_quiet("kernelfleet.")
        left = [i for i in range(4) if i not in on_one]
        assert mec.execute("engine_id", targets=left).values() == left


def test_another_version_on_a_worker_is_named_with_what_mends_it(dask: DaskHosts) -> None:
    one, two, _ = dask.network.hosts
    other = dask.network.folder / "other" / "kernelfleet"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.1"\n')
    dask.worker(one)
    dask.worker(two, env={"PYTHONPATH": f"{other.parent}"})
    dask.wait(2)
    with pytest.raises(StartError, match=rf"(?s){two.name}.*0\.0\.1.*pip install kernelfleet=="):
        Fleet(4, cluster=dask.address).start()
    assert_nothing_of_ours(dask.network)
    with dask.client() as client:  # the workers stay whatever we do wrong
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 2


def test_a_scheduler_without_tls_is_refused_unless_that_is_allowed(network: Network) -> None:
    pytest.importorskip("distributed")
    dask = DaskHosts(network, None)
    try:
        dask.worker(network.hosts[0])
        dask.wait(1)
        with pytest.raises(StartError, match="without TLS"):
            Fleet(2, cluster=dask.address).start()
        with Fleet(2, cluster=dask.address, insecure=True) as mec:
            assert mec.execute("engine_id").values() == [0, 1]
    finally:
        dask.close()
