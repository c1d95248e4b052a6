"""A fleet in a process of its own, which ``kernelfleet start`` runs until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from logging import Logger
from typing import Any

import zmq

from kernelfleet.controller.door.server import Server
from kernelfleet.controller.host import FleetHost
from kernelfleet.controller.options import FleetOptions
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.platforms import HERE
from kernelfleet.wire.pump import MAX_SOCKETS


def run_daemon(
    options: FleetOptions,
    on_ready: Callable[[FleetFile], None],
    log: Logger | None = None,
    host_class: type[FleetHost] = FleetHost,
) -> int | None:
    """Start a fleet and serve it until SIGINT, SIGTERM, or a client's ``stop_fleet``.

    Args:
        options: The fleet to start.
        on_ready: Called once the engines answer and clients can connect.
        log: The log for deaths of engines and refused messages.
        host_class: What starts the fleet: on this machine, or on a cluster.

    Returns:
        The signal that ended it before the fleet was ready; None if it was ready.

    Raises:
        FleetExists: a fleet of this name is running.
        StartError: an engine did not come up.
        OSError: the TCP port is taken.
    """
    raise_descriptor_limit()
    # The default loop of Windows has no add_reader, which every socket of ours needs.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        log = log or logging.getLogger("kernelfleet")
        return runner.run(_serve(options, on_ready, log, host_class))


async def _serve(
    options: FleetOptions,
    on_ready: Callable[[FleetFile], None],
    log: Logger,
    host_class: type[FleetHost],
) -> int | None:
    stop = _first_signal(asyncio.get_running_loop())
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
    try:
        starting = asyncio.create_task(host_class.launch(options, context, log))
        ends: list[asyncio.Future[Any]] = [starting, stop]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            return stop.result()
        host = starting.result()
        try:
            await _serve_host(host, options, context, on_ready, log, stop)
        finally:
            await host.stop()
        return None
    finally:
        context.destroy(linger=500)


def _first_signal(loop: asyncio.AbstractEventLoop) -> asyncio.Future[int]:
    """A future of the signal that is to end this process."""
    first: asyncio.Future[int] = loop.create_future()

    def take(signum: int) -> None:
        if not first.done():
            first.set_result(int(signum))

    for signum in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(signum, take, signum)
        except NotImplementedError:  # Windows
            signal.signal(signum, lambda signum, _: loop.call_soon_threadsafe(take, signum))
    return first


async def _serve_host(
    host: FleetHost,
    options: FleetOptions,
    context: zmq.Context[zmq.Socket[bytes]],
    on_ready: Callable[[FleetFile], None],
    log: Logger,
    stop: asyncio.Future[int],
) -> None:
    fleet = host.file
    server = Server(host.controller, context, fleet, log)
    try:
        if HERE.unix_sockets:
            path = str(host.directory.sockets / "client.sock")
            fleet.ipc = server.listen_ipc(path)
            host.directory.when_restored.append(lambda: server.listen_ipc(path))
        if options.tcp or not HERE.unix_sockets:
            fleet.tcp = server.listen_tcp(fleet, options.port, options.host)
        host.directory.write(fleet)
        on_ready(fleet)
        asked = asyncio.create_task(host.stop_requested.wait())
        ends: list[asyncio.Future[Any]] = [stop, asked]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        why = signal.Signals(stop.result()).name if stop.done() else "a client asked for it"
        log.info("stopping fleet %r: %s", options.name, why)
        asked.cancel()
        await host.stop()
    finally:
        server.close()


def raise_descriptor_limit() -> None:
    """Ask for as many descriptors as we may have: the usual 1024 end at some 150 engines."""
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
