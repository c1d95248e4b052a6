"""The process of a node: one line of JSON in, one line out, then it serves its head.

It ends, with its engines, when its head has left or has not been heard of for too long; when it is
told to on standard input, as by a cluster that retires its worker; and with SIGTERM. That its
starter is gone is no reason: the head may live on when the scheduler of a cluster has crashed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Mapping
from logging import Logger
from typing import Any

import zmq

from kernelfleet import __version__
from kernelfleet.controller.daemon import raise_descriptor_limit
from kernelfleet.controller.door.server import Server
from kernelfleet.controller.lifecycle.blas_threads import THREAD_VARIABLES
from kernelfleet.controller.options import FleetOptions, Variables
from kernelfleet.controller.ranks import gpu_variables, gpus_of
from kernelfleet.controller.timing import TIMES_OF_A_HEAD
from kernelfleet.errors.tree import FleetError
from kernelfleet.node.host import NodeHost
from kernelfleet.node.runtime_directory import private_runtime_directory
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.handshake import key_of_node
from kernelfleet.wire.launcher_variables import without_rank
from kernelfleet.wire.messages.nodes import NodeReport, NodeSpec
from kernelfleet.wire.platforms import number_of_cores
from kernelfleet.wire.pump import MAX_SOCKETS
from kernelfleet.wire.versions import PROTOCOL_VERSION

#: Encryption takes one thread a second for some 430 MB.
IO_THREADS = 2
#: How a starter has reached this host, if it was ssh: the last but one word is our address.
SSH_VARIABLE = "SSH_CONNECTION"
#: The address of the host that has run srun, in a process that srun has started.
SRUN_VARIABLE = "SLURM_LAUNCH_NODE_IPADDR"
#: What a program that starts nodes sets for itself, and engines are not to have.
NOT_FOR_ENGINES = ("JPY_PARENT_PID",)


def main(spec: NodeSpec) -> None:
    """Be a node until it is over.

    Args:
        spec: What the node is to be, as its starter has said.
    """
    base = base_environment(os.environ)
    raise_descriptor_limit()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s node %(levelname)s %(message)s")
    log = logging.getLogger("kernelfleet")
    with (
        private_runtime_directory(),
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
    ):
        try:
            runner.run(serve(spec, base, log))
        except (FleetError, OSError, ValueError, TypeError) as error:
            report({"error": str(error)})
            sys.exit(1)


def base_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What engines inherit from this process.

    Not the numbers of threads: Dask's nanny sets them to 1 for its workers, and nobody would know
    that from the user's wish.
    """
    dropped = {*THREAD_VARIABLES, *NOT_FOR_ENGINES}
    kept = {name: value for name, value in environment.items() if name not in dropped}
    return without_rank(kept)


def options_of(spec: NodeSpec, base: Mapping[str, str], host: list[NodeHost]) -> FleetOptions:
    """The options of the fleet that a node is, with the environment that the head has told."""
    gpus = gpus_of(_asked_gpus(spec["gpus"]))

    def environment(engine_id: int) -> Variables:
        node = host[0].node
        of_gpu = gpu_variables(node.registry.sizes.local_rank(engine_id), gpus)
        return {**base, **of_gpu, **node.added_variables.get(engine_id, {})}

    return FleetOptions(
        kernels=(),
        name=spec["name"],
        embedded=spec["embedded"],
        environment=environment,
        cwd=spec["cwd"],
        on_start=spec["on_start"],
        fork=spec["fork"],
        preload=tuple(spec["preload"]),
        insecure_kernel=spec["insecure_kernel"],
        restart=spec["restart"],
        limits=spec["limits"],
        mpi=spec["mpi"],
        of_a_head=True,
    )


def _asked_gpus(told: int | None) -> bool | int:
    return True if told is None else told or False


async def serve(spec: NodeSpec, base: Mapping[str, str], log: Logger) -> None:
    """Listen for the head, say where, and work until the node is to end."""
    context: zmq.Context[Any] = zmq.Context(io_threads=IO_THREADS)
    context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
    hosts: list[NodeHost] = []
    try:
        host = await NodeHost.launch(options_of(spec, base, hosts), context, log)
        hosts.append(host)
        try:
            await _serve_host(host, spec, context, log)
        finally:
            await host.stop()
    finally:
        context.destroy(linger=500)


async def _serve_host(
    host: NodeHost, spec: NodeSpec, context: zmq.Context[Any], log: Logger
) -> None:
    loop = asyncio.get_running_loop()
    fleet = FleetFile(
        name=spec["name"],
        pid=os.getpid(),
        host=platform.node(),
        started=time.time(),
        key=key_of_node(spec["name"], spec["client_key"]),
        kernelfleet=__version__,
    )
    server = Server(host.controller, context, fleet, log, TIMES_OF_A_HEAD)
    try:
        address = spec["host"] or address_of_starter(os.environ)
        url = server.listen_tcp(fleet, 0, address, spec["client_key"])
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, host.node.end, signal.Signals(signum).name)
        loop.add_reader(0, _take_line, loop, host)
        report(
            NodeReport(
                host=fleet.host,
                pid=fleet.pid,
                url=url,
                server_key=str(fleet.server_public_key),
                cores=number_of_cores(),
                kernelfleet=__version__,
                protocol=PROTOCOL_VERSION,
                python=platform.python_version(),
            )
        )
        await host.stop_requested.wait()
        await host.stop()
    finally:
        server.close()


def address_of_starter(environment: Mapping[str, str]) -> str:
    """The address of this host by which the starter reaches it; all addresses if that is not known.

    It is that by which ssh has, or that from which this host reaches the one where srun runs.
    """
    words = environment.get(SSH_VARIABLE, "").split()
    if launcher := environment.get(SRUN_VARIABLE):
        with contextlib.suppress(OSError):
            family = socket.AF_INET6 if ":" in launcher else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as route:
                route.connect((launcher, 9))  # nothing is sent
                return str(route.getsockname()[0])
    return words[2] if len(words) == 4 else "0.0.0.0"  # noqa: S104 (encrypted, and for one key)


def _take_line(loop: asyncio.AbstractEventLoop, host: NodeHost) -> None:
    """A line on standard input tells the node to end; its end says that the starter is gone."""
    try:
        text = os.read(0, 65536)
    except OSError:
        text = b""
    if not text:
        loop.remove_reader(0)
        return
    try:
        reason = json.loads(text)["end"]
    except (ValueError, KeyError, TypeError):
        return
    host.node.end(str(reason))


def report(said: Mapping[str, Any]) -> None:
    """Tell the starter, in a line of its own."""
    print(json.dumps(said), flush=True)  # noqa: T201 (standard output is the way to the starter)
