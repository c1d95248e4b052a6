"""``kernelfleet start``: this process becomes the controller of a fleet.

Besides this module only the embedded fleet, in ``client/fleet.py``, imports ``controller/``. With
``--daemonize`` the same command line is run again in a process of its own, which reports its
progress through a pipe.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from traitlets import Bool, CaselessStrEnum, Integer, TraitError, Unicode, Union, default, validate

from kernelfleet import errors
from kernelfleet.cli import completion
from kernelfleet.cli.controller_log import logging_to_file
from kernelfleet.cli.exits import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    UsageError,
    complain,
    exit_code_of,
)
from kernelfleet.cli.naming import NamedCommand
from kernelfleet.cli.parsing import listed
from kernelfleet.cli.progress import StartProgress, Teller, Terminal
from kernelfleet.controller.limits import Limits
from kernelfleet.session import ctrl_c
from kernelfleet.wire.files import connection_file, fleet_paths
from kernelfleet.wire.files.addresses import LOOPBACK, is_loopback
from kernelfleet.wire.files.private_files import open_private
from kernelfleet.wire.platforms import HERE, number_of_cores

if TYPE_CHECKING:
    from kernelfleet.controller.host import FleetHost

#: The environment variable with the file descriptor on which a detached controller reports.
READY_FD = "KERNELFLEET_READY_FD"


class Start(NamedCommand):
    """``kernelfleet start``."""

    name = "kernelfleet-start"
    usage = "kernelfleet start [NAME] [-n N] [options]"
    description = """
        Start a fleet. It runs until Ctrl-C, SIGTERM or `kernelfleet stop`; with --daemonize the
        command returns when the engines answer, and the fleet stays.
    """
    examples = """
        kernelfleet start -n 4
        kernelfleet start sweep -n 8 --daemonize
        kernelfleet start -n 2 --kernel bash
        kernelfleet start -n 64 --cluster tls://scheduler:8786
    """

    n = Integer(1, min=1, help="How many engines (the number of cores).").tag(config=True)
    fleet_name = Unicode(
        fleet_paths.DEFAULT_NAME,
        allow_none=True,
        help="The fleet's name, as the argument NAME (default).",
    ).tag(config=True)
    completes_arguments = completion.nothing
    port = Integer(
        None,
        allow_none=True,
        min=1,
        max=65535,
        help=f"The TCP port ({connection_file.DEFAULT_PORT}, or the next free one).",
    ).tag(config=True)
    host = Unicode(
        LOOPBACK,
        help="The address of this machine that TCP clients reach it by (127.0.0.1: this machine "
        "alone; 0.0.0.0: all addresses). Always encrypted; clients need the connection file.",
    ).tag(config=True)
    tcp = Bool(True, help="Listen on TCP as well as on a Unix socket.").tag(config=True)
    kernel = Unicode(
        None, allow_none=True, help="The kernelspec of the engines (kernelfleet's own Python)."
    ).tag(config=True, completer=completion.kernelspecs)
    on_start = Unicode(
        None, allow_none=True, help="Code that every engine runs before its first command."
    ).tag(config=True)
    restart = CaselessStrEnum(
        ["never", "on-death"],
        "never",
        help="Whether an engine that died is started again, up to five times a minute.",
    ).tag(config=True)
    preload = Unicode(
        "",
        help="Modules (numpy,pandas) loaded once for all engines, none that start threads; and "
        "scripts (setup.py) that are run once, whose variables all engines have.",
    ).tag(config=True)
    fork = Bool(
        True, help="Fork engines from one warm process instead of starting each on its own."
    ).tag(config=True)
    mpi = Bool(False, help="Start the engines as the ranks of one MPI world.").tag(config=True)
    mpiexec = Unicode(
        None,
        allow_none=True,
        help="The command that starts the ranks ('srun -n {n}'); the mpiexec of mpi4py's MPI.",
    ).tag(config=True)
    ranks = Bool(
        False, help="Tell engines by variables that they are ranks of one job of torch or JAX."
    ).tag(config=True)
    gpus = Bool(False, help="Give each engine one of the GPUs (CUDA_VISIBLE_DEVICES).").tag(
        config=True
    )
    insecure_kernel = Bool(
        False,
        help="Allow kernels that every user of this machine can listen to: on loopback TCP, "
        "without encryption.",
    ).tag(config=True)
    cluster = Unicode(
        None,
        allow_none=True,
        help="On the nodes of a cluster: tls://..., a scheduler file, ssh:HOST1,HOST2, or srun.",
    ).tag(config=True)
    per_node = Union(
        [Integer(min=1), Unicode()],
        default_value=None,
        allow_none=True,
        help="Most engines of a node, or the resource of its worker that says so.",
    ).tag(config=True)
    insecure = Bool(
        False, help="Use a Dask scheduler without TLS: whoever reaches it can run code."
    ).tag(config=True)
    daemonize = Bool(False, help="Return when the engines answer; the fleet stays.").tag(
        config=True
    )

    classes = [Limits]
    aliases = {
        ("n", "engines"): "Start.n",
        "name": "Start.fleet_name",
        "port": "Start.port",
        "host": "Start.host",
        "kernel": "Start.kernel",
        "on-start": "Start.on_start",
        "restart": "Start.restart",
        "preload": "Start.preload",
        "mpiexec": "Start.mpiexec",
        "cluster": "Start.cluster",
        "per-node": "Start.per_node",
        **NamedCommand.aliases,
    }
    flags = {
        "no-tcp": ({"Start": {"tcp": False}}, "A Unix socket only."),
        "no-fork": ({"Start": {"fork": False}}, "Start each engine as a process of its own."),
        "mpi": ({"Start": {"mpi": True}}, str(mpi.help)),
        "ranks": ({"Start": {"ranks": True}}, str(ranks.help)),
        "gpus": ({"Start": {"gpus": True}}, str(gpus.help)),
        "insecure-kernel": ({"Start": {"insecure_kernel": True}}, str(insecure_kernel.help)),
        "insecure": ({"Start": {"insecure": True}}, str(insecure.help)),
        "daemonize": ({"Start": {"daemonize": True}}, str(daemonize.help)),
        **NamedCommand.flags,
    }

    @default("n")
    def _number_of_cores(self) -> int:
        return number_of_cores()

    @validate("fleet_name")
    def _usable_name(self, proposal: Any) -> str:
        try:
            return fleet_paths.check_name(proposal.value)
        except ValueError as error:
            raise TraitError(str(error)) from None

    def work(self) -> int:
        """Become the controller, or start a process that becomes it."""
        name = self.given_name() or fleet_paths.DEFAULT_NAME
        if self.host != LOOPBACK and not self.tcp:
            raise UsageError("--host is where TCP listens, and --no-tcp leaves it out: give one")
        ready_fd = os.environ.pop(READY_FD, None)
        if ready_fd is not None:
            return _serve_detached(self, name, int(ready_fd))
        if self.daemonize and not HERE.process_groups:
            raise UsageError("--daemonize needs Unix: start the fleet in a terminal of its own")
        if self.daemonize:
            return _start_detached(self.argv)
        with contextlib.closing(Terminal()) as terminal:
            return _serve(self, name, terminal, to_stderr=True)


def _limits(start: Start) -> dict[str, int | None]:
    """The limits that were set on the command line or in the configuration."""
    limits = Limits(config=start.config)
    return {name: getattr(limits, name) for name in start.config.Limits}


def _serve(start: Start, name: str, say: Teller, *, to_stderr: bool) -> int:
    """Run the controller in this process until it is told to end."""
    from kernelfleet.controller.daemon import run_daemon
    from kernelfleet.controller.options import FleetOptions

    n = start.n if start.cluster is None or start.trait_has_value("n") else None
    options = FleetOptions.of(
        n,
        kernel=start.kernel,
        name=name,
        tcp=start.tcp,
        port=start.port,
        host=start.host,
        on_start=start.on_start,
        restart=start.restart,
        preload=tuple(listed(start.preload)),
        fork=start.fork,
        mpi=start.mpi,
        mpiexec=start.mpiexec,
        ranks=start.ranks,
        gpus=start.gpus,
        insecure_kernel=start.insecure_kernel,
        limits=_limits(start),
        cluster=start.cluster,
        per_node=start.per_node,
        insecure=start.insecure,
        on_progress=say.progress,
    )
    log = logging.getLogger("kernelfleet")
    with logging_to_file(log, name, start.log_level, to_stderr=to_stderr) as file:

        def on_ready(fleet: connection_file.FleetFile) -> None:
            file.begin()
            log.info("started fleet %r: %s, pid %d", fleet.name, engines(n), fleet.pid)
            say.ready(announcement(fleet, n))

        _hang_up_is_sigterm()
        signum = run_daemon(options, on_ready, host_class=_host_class(start))
        log.info("stopped fleet %r", name)
    # The fleet has run and has ended in order, so this is success, whoever has ended it.
    return EXIT_OK if signum is None else 128 + signum


def _host_class(start: Start) -> type[FleetHost]:
    """What starts the fleet: on this machine, or on a cluster."""
    from kernelfleet.controller.host import FleetHost

    if start.cluster is None:
        return FleetHost
    from kernelfleet.head.host import ClusterHost

    return ClusterHost


def _hang_up_is_sigterm() -> None:
    """Have SIGHUP end the fleet in order, unless it is ignored, as after ``nohup``."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def announcement(fleet: connection_file.FleetFile, n: int | None) -> str:
    """The text that names a new fleet and its connection file, and how to connect and stop it."""
    default = fleet.name == fleet_paths.DEFAULT_NAME
    rows = [
        ("connect", f"MultiEngineClient({'' if default else repr(fleet.name)})"),
        ("connection file", str(fleet.path)),
        ("TCP", _tcp(fleet.tcp)),
        ("stop", "kernelfleet stop" + ("" if default else f" {fleet.name}")),
    ]
    head = f"Fleet {fleet.name!r} is ready: {engines(n)}, controller pid {fleet.pid}"
    return "\n".join([head, *(f"  {what:<16} {text}" for what, text in rows)])


def _tcp(url: str | None) -> str:
    """Where TCP clients come in, and who else can reach that door."""
    if url is None:
        return "off"
    return f"{url} (encrypted{'' if is_loopback(url) else ', seen from the network'})"


def engines(n: int | None) -> str:
    """A number of engines as text: ``1 engine``, ``4 engines``; None is what a cluster has."""
    if n is None:
        return "an engine per slot of the cluster"
    return "1 engine" if n == 1 else f"{n} engines"


# --- detached: the parent reads lines of JSON: any number of {"progress": [3, 64]}, and at the end
# {"ready": text} or {"error": text, "code": n}


def _start_detached(argv: list[str]) -> int:
    """Run the same command line in a session of its own; return when it is ready or has failed.

    Returns:
        The exit code.
    """
    read_fd, write_fd = os.pipe()
    with tempfile.TemporaryFile() as output, open(read_fd, "rb") as reports:
        with ctrl_c.held() as hold:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "kernelfleet.cli", "start", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[write_fd],
                start_new_session=True,
                env={**os.environ, READY_FD: str(write_fd)},
            )
            os.close(write_fd)
            with hold.giving_up(process.terminate):
                message = _hear(reports)
            if hold.pressed:
                process.wait()
                raise KeyboardInterrupt
        if "ready" in message:
            print(message["ready"])
            process.returncode = 0  # (Popen would warn of a child that it has not waited for)
            return EXIT_OK
        process.wait()
        if "error" in message:
            complain(message["error"])
            return int(message["code"])
        output.seek(0)
        sys.stderr.write(output.read().decode(errors="replace"))
        complain("the controller ended before it was ready")
        return EXIT_FAILED


def _hear(reports: Iterable[bytes]) -> dict[str, Any]:
    """Show the progress that is reported; returns the last report, an empty one if none came."""
    with contextlib.closing(StartProgress()) as shown:
        for line in reports:
            message: dict[str, Any] = json.loads(line)
            if "progress" not in message:
                return message
            shown.show(*message["progress"])
    return {}


class Pipe:
    """Reports to the process at the other end of a pipe."""

    def __init__(self, fd: int, name: str) -> None:
        os.set_inheritable(fd, False)  # (an engine that inherits it would keep the parent waiting)
        self._fd = fd
        self._name = name
        self.over = False

    def progress(self, ready: int, n: int) -> None:
        """Report that ``ready`` of ``n`` engines answer."""
        self._report({"progress": [ready, n]})

    def ready(self, text: str) -> None:
        """Report that the fleet is ready. From now on stdout and stderr go to a file."""
        with contextlib.suppress(OSError):
            path = fleet_paths.make_log_dir(self._name) / "start.log"
            fd = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            os.dup2(fd, 1)
            os.dup2(fd, 2)
            os.close(fd)
        self.end({"ready": text})

    def end(self, message: dict[str, Any]) -> None:
        """Send the last report, and close the pipe."""
        self._report(message)
        self.over = True
        os.close(self._fd)

    def _report(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # (the parent has ended)
            os.write(self._fd, (json.dumps(message) + "\n").encode())


def _serve_detached(start: Start, name: str, fd: int) -> int:
    """Run as the detached controller, which reports on the file descriptor ``fd``."""
    pipe = Pipe(fd, name)
    try:
        return _serve(start, name, pipe, to_stderr=False)
    except (errors.FleetError, UsageError, OSError, ValueError) as error:
        if pipe.over:
            raise
        code = EXIT_USAGE if isinstance(error, UsageError) else exit_code_of(error)
        pipe.end({"error": str(error), "code": code})
        return code
