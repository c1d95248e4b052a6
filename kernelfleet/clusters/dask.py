"""Nodes on the workers of a Dask cluster: Dask starts one process per worker, and that is all.

Nothing of ours is in Dask's graph: no task, no actor, no future that could be released, stolen or
run again. So whatever Dask deploys on (Slurm and other batch systems, SSH, Kubernetes, clouds) can
have engines. Needs the extra ``dask``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from kernelfleet.clusters.base import (
    NODE_SECONDS,
    Installation,
    Started,
    Watcher,
    Worker,
    in_parallel,
)
from kernelfleet.clusters.dask_scheduler import keeper
from kernelfleet.clusters.dask_worker import INSTALLATION, starter
from kernelfleet.errors.tree import StartError
from kernelfleet.wire.messages.nodes import NodeSpec

#: How long the scheduler may take to answer.
CONNECT_SECONDS = 10.0
#: How long one attempt to reach a scheduler that is gone may take.
ATTEMPT_SECONDS = 0.3
#: Beyond what a node may take: for the way through the scheduler.
WAY_SECONDS = 10.0

_log = logging.getLogger("kernelfleet")

_NO_DASK = "cluster= needs Dask's distributed: pip install 'kernelfleet[dask]'"
_NO_CERTIFICATES = (
    "{address} has TLS, and Dask has no certificates here: name them in its configuration "
    "(distributed.comm.tls.client.cert, .key and distributed.comm.tls.ca-file), or give a "
    "distributed.Client that has a Security as cluster="
)
_INSECURE = (
    "{address} is a Dask scheduler without TLS: whoever can reach it can run code as you on its "
    "workers. Give it a Security (security=Security.temporary() of LocalCluster and others, or "
    "certificates and a tls:// address), or where nobody else reaches that network insecure=True "
    "(--insecure)"
)


class DaskCluster:
    """A client of a Dask cluster, of our own whoever has made the cluster.

    Args:
        cluster: An address, the path of a scheduler file, a ``Cluster``, or a ``Client``.
        watcher: Is told what happens to workers.
        insecure: Allow a scheduler without TLS that others may reach.

    Raises:
        StartError: the scheduler does not answer, or has no TLS.
    """

    why_no_workers = (
        "it has no workers: start some (cluster.scale(2); adapt() starts them only for tasks of "
        "Dask, so give it minimum=)"
    )

    def __init__(self, cluster: object, watcher: Watcher, *, insecure: bool) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise StartError(f"{_NO_DASK} ({error})") from None
        self._watcher = watcher
        self._with_nodes: set[str] = set()
        self._topic = f"kernelfleet-{uuid.uuid4().hex}"
        where, self._deployed = _address(cluster)
        if not insecure and "address" in where:
            _refuse_insecure(where["address"])
        try:
            self._client = _patient(Client)(
                **where, set_as_default=False, name="kernelfleet", timeout=CONNECT_SECONDS
            )
            # So that it does not look for the scheduler of a cluster that is being closed.
            self._client.cluster = self._deployed
        except (OSError, TimeoutError, ValueError) as error:
            shown = where.get("address") or where["scheduler_file"]
            raise StartError(f"no Dask scheduler answers at {shown}: {error}") from error
        except TypeError as error:  # (so Dask says that it was given no certificates)
            raise StartError(_NO_CERTIFICATES.format(address=where.get("address"))) from error
        try:
            if not insecure:
                _refuse_insecure(self._client.scheduler.address)
            self._client.subscribe_topic(self._topic, self._take_end)
            self._client.subscribe_topic("all", self._take_news)
        except BaseException:
            self.close()
            raise

    def _take_end(self, event: tuple[float, Any]) -> None:
        told = event[1]
        reason = f"its process has ended with code {told['code']}"
        self._watcher.worker_left(told["worker"], reason)

    def _take_news(self, event: tuple[float, Any]) -> None:
        """What the scheduler says of its workers; it says other things there as well."""
        told = event[1]
        action = told.get("action") if isinstance(told, dict) else None
        if action == "add-worker":
            self._watcher.worker_came(told["worker"])
        elif action == "remove-worker":
            how = "was closed" if told.get("expected") else "is gone"
            self._watcher.worker_left(told["worker"], f"its Dask worker {how}")

    def workers(self) -> list[Worker]:
        """The workers that the scheduler has now."""
        try:
            found = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception as error:
            raise StartError(f"the Dask scheduler does not answer: {error}") from error
        return [
            Worker(name, told["nthreads"], told.get("resources", {}))
            for name, told in found.items()
        ]

    def awaited(self) -> int:
        """How many workers a ``Cluster`` has been asked for that have not come yet."""
        if self._deployed is None:
            return 0
        return len(set(self._deployed.plan) - set(self._deployed.observed))

    def start(
        self, specs: Mapping[str, NodeSpec], fits: Callable[[Installation], bool]
    ) -> dict[str, Started]:
        """Have each of these workers start a node beside it."""

        def start(worker: str) -> Started:
            # By name, so that another version of Python understands it; our function it would not.
            told = self._client.run(eval, INSTALLATION, workers=[worker])[worker]
            installation = Installation(**told)
            if not fits(installation):
                return Started(installation)
            arguments = starter(), specs[worker], self._topic, NODE_SECONDS
            told = self._client.run(*arguments, workers=[worker])[worker]
            return Started(installation, told["report"], told["said"])

        outcomes = in_parallel(start, specs, NODE_SECONDS + WAY_SECONDS)
        started = {
            worker: each if isinstance(each, Started) else Started(None, said=_words(each))
            for worker, each in outcomes.items()
        }
        self._with_nodes |= {name for name, each in started.items() if each.report is not None}
        self._keep_from_adapt()
        return started

    def _keep_from_adapt(self) -> None:
        """Have ``adapt()`` of the cluster leave the workers with nodes alone."""
        try:
            self._client.run_on_scheduler(keeper(), self._client.id, list(self._with_nodes))
        except Exception as error:  # noqa: BLE001 (a scheduler need not run functions of clients)
            _log.warning("adapt() of the cluster may close workers that have engines: %s", error)

    def close(self) -> None:
        """End our client of the cluster."""
        for topic in (self._topic, "all"):  # else the scheduler would tell us that we have left
            self._client.unsubscribe_topic(topic)
        self._client.close(timeout=CONNECT_SECONDS)


def _patient(client: type[Any]) -> type[Any]:
    """A class of client that looks for its scheduler when that is gone, and can be told to stop.

    That of distributed 2026.8 cannot be closed meanwhile: it goes on for the whole time, and logs
    the end of its search as an error, with a traceback where it is cancelled.
    """

    async def reconnect(self: Any) -> None:
        self.status, self.scheduler_comm = "connecting", None
        deadline = time.monotonic() + CONNECT_SECONDS
        while self.status == "connecting" and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                await self._ensure_connected(timeout=ATTEMPT_SECONDS)
                return
            await asyncio.sleep(ATTEMPT_SECONDS)
        if self.status == "connecting":
            _log.warning("the Dask scheduler is gone: engines go on, but no new nodes can be had")
            await self._close()

    return type("FleetClient", (client,), {"_reconnect": reconnect})


def _address(cluster: object) -> tuple[dict[str, Any], Any]:
    """How a client finds the scheduler, and the object that deploys workers, if it is one.

    Raises:
        TypeError: it is nothing that Dask knows.
    """
    from distributed import Client
    from distributed.deploy.cluster import Cluster as Deployed

    if isinstance(cluster, Deployed):
        return {"address": cluster.scheduler_address, "security": cluster.security}, cluster
    if isinstance(cluster, Client):
        deployed = cluster.cluster if isinstance(cluster.cluster, Deployed) else None
        scheduler = cluster.scheduler
        if scheduler is None:
            raise StartError("this Dask client is closed: give one that is open")
        return {"address": scheduler.address, "security": cluster.security}, deployed
    if isinstance(cluster, str) and "://" in cluster:
        return {"address": cluster}, None
    if isinstance(cluster, str | os.PathLike):
        if not os.path.exists(cluster):
            raise StartError(
                f"cluster={os.fspath(cluster)!r} is neither an address (tls://host:8786), nor "
                f"hosts (ssh:host1,host2), nor 'srun', nor a scheduler file that exists"
            )
        return {"scheduler_file": os.fspath(cluster)}, None
    raise TypeError(
        f"cluster is an address, a scheduler file, a Cluster or a Client of Dask, 'ssh:' and "
        f"hosts, or 'srun', not {type(cluster).__name__}"
    )


def _refuse_insecure(address: str) -> None:
    scheme, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    if scheme in ("tls", "wss", "inproc"):
        return
    if host in ("localhost", "::1") or host.startswith("127."):
        return  # processes of this machine alone; LocalCluster does so
    raise StartError(_INSECURE.format(address=address))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
