"""opening.py: which cluster a user means, by what is given."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.clusters import dask
from kernelfleet.clusters.opening import open_cluster
from kernelfleet.clusters.ssh import SSHHosts

WATCHER: Any = object()


def test_hosts_are_reached_by_ssh() -> None:
    cluster = open_cluster("ssh:one,two", WATCHER, insecure=False)
    assert isinstance(cluster, SSHHosts)
    assert [worker.name for worker in cluster.workers()] == ["one", "two"]


def test_everything_else_is_dasks(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(dask, "DaskCluster", lambda *args, **options: given.append((args, options)))
    open_cluster("tls://far:8786", WATCHER, insecure=True)
    assert given == [(("tls://far:8786", WATCHER), {"insecure": True})]
