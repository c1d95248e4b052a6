"""Fleet: an embedded controller with its engines, in this process, for as long as it is wanted.

The one module that knows both a client and a controller: it starts the controller on the loop
thread, and its clients hand it their messages in memory. Because the controller shares this
process's GIL, a C call that holds it for seconds delays output and answers; ``kernelfleet start``
runs the controller in a process of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from kernelfleet.client.client import MultiEngineClient
from kernelfleet.client.controller_proxy import (
    ControllerProxy,
    close_when_collected,
)
from kernelfleet.client.owner import current_owner, fleet_name
from kernelfleet.controller.door.private import PrivateDoor
from kernelfleet.controller.door.private import load as load_door
from kernelfleet.controller.host import FleetHost
from kernelfleet.controller.options import Environment, FleetOptions
from kernelfleet.errors.tree import FleetError, FleetExists
from kernelfleet.session import ctrl_c
from kernelfleet.session import loop as loop_thread
from kernelfleet.session.transport import EmbeddedTransport, Transport
from kernelfleet.wire.files.fleet_paths import check_name
from kernelfleet.wire.objects.staying import StaysHere

_numbers = itertools.count(1)
#: Held strongly: a fleet whose object was let go of ends with the process, not before.
_running: set[Fleet] = set()


class Fleet(StaysHere):
    """Engines of your own, started now and ended with ``stop``, ``with`` or this process.

    Args:
        n: How many engines; None is one per core, or of a cluster one per slot.
        kernel: An installed kernelspec to use instead of kernelfleet's own kernel; a list has
            one name (or None) per engine, and makes ``n`` unnecessary.
        env: Variables added to the engines' environment (None unsets one that they would
            inherit), or a function of the engine id
            (``lambda i: {'CUDA_VISIBLE_DEVICES': str(i)}``).
        cwd: The engines' working directory; None is this process's. Of a cluster, a folder on its
            nodes.
        on_start: Code every engine runs before its first command, also after a restart.
        preload: Modules (``['numpy', 'pandas']``) loaded once and shared by all engines, which
            then need neither the time nor the memory. Not for modules that start threads. Or a
            script (``'setup.py'``, alone or in the list) that is run once: its variables, such as
            a large array, are in each engine from the start, also after a restart, and in memory
            once.
        restart: ``'on-death'`` starts an engine that died again, under its id, up to five times
            a minute; ``'never'`` leaves it dead until ``mec.restart``.
        limits: Limits that differ from their defaults (``{'queue_length': 1000}``), as
            ``kernelfleet start --help-all`` describes them under ``Limits``.
        fork: Fork engines from one warm process (Linux) instead of starting each on its own.
        name: By which ``MultiEngineClient(name)`` finds it in other processes of yours; None
            makes one of that of the notebook or the script.
        mpi: Start the engines as the ranks of one MPI world: ``from mpi4py import MPI`` works in
            every cell, and ``engine_id`` is the rank.
        mpiexec: The command that starts the ranks (``'srun -n {n}'``); None looks for the
            ``mpiexec`` of the installed mpi4py. With ``cluster``, ``{hosts}`` in it stands for the
            hosts.
        ranks: Tell each engine by variables that it is a rank of one job (``RANK``,
            ``WORLD_SIZE``, ``MASTER_ADDR``, ``JAX_COORDINATOR_ADDRESS`` and so on), as
            ``torch.distributed`` and ``jax.distributed`` look for them.
        gpus: Give each engine one of the GPUs, by ``CUDA_VISIBLE_DEVICES``: True takes those that
            are found, a number says how many there are. ``n`` is their number then, if it is None.
            On a cluster they are those of each node.
        insecure_kernel: Allow a ``kernel`` that can neither use Unix sockets nor encrypt: every
            user of this machine can then read its code and output.
        cluster: Run the engines on the nodes of a cluster: the address of a Dask scheduler
            (``tls://...``), its scheduler file, a ``Cluster`` or ``Client`` of Dask (extra
            ``dask``), hosts that ssh reaches (``'ssh:host1,host2'``), or those of the job of Slurm
            that this process is in (``'srun'``).
        per_node: How many engines a node may have, or the name of a resource of a Dask worker
            (``'GPU'``) that says so; None distributes them by the threads of the workers.
        insecure: Use a Dask scheduler without TLS, which lets whoever reaches it run code.

    Raises:
        FleetExists: (from ``start``) a fleet of this ``name`` is running.
        StartError: (from ``start``) an engine did not come up, a module of ``preload`` cannot
            be imported, or others could read along; the others are ended again.

    Example:
        >>> from kernelfleet import Fleet
        >>> with Fleet(n=2, on_start="base = 10") as mec:
        ...     mec.execute("base + engine_id")[1].value
        11
    """

    _instead = "start a daemon (`kernelfleet start`), to which engines can be clients"

    def __init__(
        self,
        n: int | None = None,
        *,
        kernel: str | list[str | None] | None = None,
        env: Environment = None,
        cwd: str | os.PathLike[str] | None = None,
        on_start: str | None = None,
        preload: str | os.PathLike[str] | Sequence[str] = (),
        fork: bool = True,
        mpi: bool = False,
        mpiexec: str | None = None,
        ranks: bool = False,
        gpus: bool | int = False,
        insecure_kernel: bool = False,
        restart: str = "never",
        limits: Mapping[str, int | None] | None = None,
        name: str | None = None,
        cluster: object = None,
        per_node: int | str | None = None,
        insecure: bool = False,
    ) -> None:
        self._given_name = None if name is None else check_name(name)
        self._options = FleetOptions.of(
            n,
            kernel=kernel,
            env=env,
            name=name or "",  # it gets one when it starts
            cwd=cwd,
            on_start=on_start,
            preload=preload,
            fork=fork,
            mpi=mpi,
            mpiexec=mpiexec,
            ranks=ranks,
            gpus=gpus,
            insecure_kernel=insecure_kernel,
            restart=restart,
            limits={} if limits is None else limits,
            cluster=cluster,
            per_node=per_node,
            insecure=insecure,
            embedded=True,
        )
        self._thread: loop_thread.LoopThread | None = None
        self._host: FleetHost | None = None
        #: By which other processes of this user come in.
        self._door: PrivateDoor | None = None
        #: The host that is being stopped, until it has stopped.
        self._ending: FleetHost | None = None
        #: Where the engines are being started.
        self._launching: asyncio.Task[None] | None = None
        self._letting_go = threading.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._mec: MultiEngineClient | None = None
        self._clients: weakref.WeakSet[MultiEngineClient] = weakref.WeakSet()

    def __repr__(self) -> str:
        state = "running" if self._host is not None else "stopped"
        n = len(self._options.kernels)
        if self._options.cluster is not None:
            return f"<Fleet of {f'{n} ' if n else ''}engines on a cluster, {state}>"
        return f"<Fleet of {n} engines, {state}>"

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._host is not None

    @property
    def name(self) -> str | None:
        """Its name, for ``MultiEngineClient(name)`` in other processes; None until it has one."""
        return self._given_name if self._host is None else self._host.file.name

    def start(
        self, *, on_progress: Callable[[int, int], object] | None = None
    ) -> MultiEngineClient:
        """Start the engines and return a client when they answer.

        Args:
            on_progress: Called as ``on_progress(3, 64)`` every two seconds, on kernelfleet's own
                thread, while so many of so many engines answer.

        Raises:
            StartError: an engine did not come up; the others are ended again.
            FleetError: it is running already.

        Returns:
            A client of the fleet.

        Example:
            >>> fleet = Fleet(n=1)
            >>> first = fleet.start()
            >>> first["a"] = 5
            >>> second = fleet.client()
            >>> second["a"], fleet.running
            ([5], True)
            >>> fleet.stop()
            >>> fleet.running
            False
        """
        if self._thread is not None and self._thread.pid == os.getpid():
            raise FleetError("this fleet is running already: take another client with .client()")
        with ctrl_c.held() as hold:
            self._thread = loop_thread.acquire()
            _running.add(self)
            try:
                self._thread.run(self._launch(self._thread, on_progress))
                self._mec = self.client()
                if hold.pressed:  # when the engines were there already
                    raise KeyboardInterrupt
            except BaseException:
                self.stop()
                raise
        return self._mec

    async def _launch(
        self, thread: loop_thread.LoopThread, on_progress: Callable[[int, int], object] | None
    ) -> None:
        """On the loop thread: start the engines; stop when a client asks the controller to."""
        self._launching = asyncio.current_task()
        owner = current_owner()
        options = replace(
            self._options, owner=owner.kind, owner_path=owner.path, on_progress=on_progress
        )
        while True:
            name = self._given_name or fleet_name(owner.what, os.getpid(), next(_numbers))
            try:
                launch = _host_class(options).launch
                launching = launch(replace(options, name=name), thread.context, _logger())
                host, _ = await asyncio.gather(launching, load_door())
                break
            except FleetExists:  # (of a process of the same number, in another container)
                if self._given_name is not None:
                    raise
        self._door = PrivateDoor(host, _logger())

        async def stop_when_asked() -> None:
            await host.stop_requested.wait()
            threading.Thread(target=self.stop, name="kernelfleet-stop").start()

        self._watcher = asyncio.get_running_loop().create_task(stop_when_asked())
        self._host = host

    def client(self) -> MultiEngineClient:
        """Another client of this fleet, with a ``block`` and ``targets`` of its own; see ``start``.

        Raises:
            FleetError: the fleet is not running.
        """
        host, thread = self._host, self._thread
        if host is None or thread is None:
            raise FleetError("this fleet is not running: start it first")

        def make(client_id: str, connection: ControllerProxy) -> Transport:
            return EmbeddedTransport(host.controller, client_id, connection)

        with ctrl_c.held() as hold:
            loop_thread.acquire()
            connection = ControllerProxy(thread, make, "this process")
            client = MultiEngineClient._of(connection)
            close_when_collected(client, connection)
            self._clients.add(client)
            if hold.pressed:
                client.close()  # nobody will get it
        return client

    def owns(self, client: MultiEngineClient) -> bool:
        """Whether a client was made by this fleet.

        Args:
            client: Any client.
        """
        return client in self._clients

    def stop(self) -> None:
        """End the engines and close the clients. Safe to call twice; returns when all has ended.

        Ctrl-C comes through when that is done. Should it break off an end that takes more than ten
        seconds, the next call goes on with it, or the end of the process.
        """
        thread = self._thread
        if thread is None:
            return
        if thread.pid != os.getpid():
            self._host = self._ending = self._thread = self._door = None  # it is the parent's
            return
        with ctrl_c.held():
            thread.run(self._stop(), finish=True)
            for client in list(self._clients):
                client.close()
            with self._letting_go:  # two threads may have waited for the same end
                is_last, self._thread = self._thread is thread, None
            if is_last:
                self._mec = None
                _running.discard(self)
                loop_thread.release(thread)

    async def _stop(self) -> None:
        """On the loop thread: give up a start that goes on, or end what has been started."""
        launching = self._launching
        if launching is not None and not launching.done():
            if not launching.cancelling():
                launching.cancel()
            await asyncio.wait([launching])
        if self._watcher is not None:
            self._watcher.cancel()
        host, self._host = self._ending or self._host, None
        if host is not None:
            self._ending = host
            await host.stop()
            self._ending = None
        if self._door is not None:
            self._door.close()
            self._door = None

    def __enter__(self) -> MultiEngineClient:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _host_class(options: FleetOptions) -> type[FleetHost]:
    if options.cluster is None:
        return FleetHost
    from kernelfleet.head.host import ClusterHost

    return ClusterHost


def _logger() -> logging.Logger:
    log = logging.getLogger("kernelfleet")
    if not log.handlers:
        # An engine's death is raised by the calls that fail; the log is for those who ask for it.
        log.addHandler(logging.NullHandler())
    return log


@atexit.register
def _stop_all() -> None:
    """End embedded fleets with the process, while the loop thread still runs."""
    if _running:
        threading.excepthook = _say_nothing_of_stopped_fleets(threading.excepthook)
    for fleet in list(_running):
        fleet.stop()


def _say_nothing_of_stopped_fleets(say: Callable[..., object]) -> Callable[..., object]:
    """A hook for the last moments: daemon threads that wait for a fleet end unheard, as others do.

    All other threads have been joined by now.
    """

    def hook(args: threading.ExceptHookArgs) -> None:
        errors = getattr(args.exc_value, "exceptions", [args.exc_value])
        if not all(isinstance(error, FleetError) for error in errors):
            say(args)

    return hook
