"""``kernelfleet start``: this process becomes the controller of a fleet.

The only place outside ``controller/`` (and the embedded fleet) that imports the controller. With
``--daemonize`` the same command line runs again in a process of its own, which reports through
a pipe.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import Any

from traitlets import Bool, CaselessStrEnum, Integer, TraitError, Unicode, default, validate

from kernelfleet import errors
from kernelfleet.cli.base import (
    EXIT_FAILED,
    EXIT_OK,
    Command,
    UsageError,
    complain,
    exit_code_of,
)
from kernelfleet.controller.limits import Limits, limit_names
from kernelfleet.wire import connection
from kernelfleet.wire.platforms import HERE, number_of_cores
from kernelfleet.wire.private import open_private

#: Tells the detached controller which descriptor to report on.
READY_FD = "KERNELFLEET_READY_FD"
LOG_FILE_BYTES = 1 << 20


class Start(Command):
    """``kernelfleet start``."""

    name = "kernelfleet-start"
    usage = "kernelfleet start [-n N] [--name NAME] [options]"
    description = """
        Start a fleet. It runs until Ctrl-C, SIGTERM or `kernelfleet stop`; with --daemonize the
        command returns when the engines answer, and the fleet stays.
    """
    examples = """
        kernelfleet start -n 4
        kernelfleet start -n 8 --name sweep --daemonize
        kernelfleet start -n 2 --kernel bash
    """

    n = Integer(1, min=1, help="How many engines (the number of cores).").tag(config=True)
    fleet_name = Unicode(connection.DEFAULT_NAME, help="The fleet's name (default).").tag(
        config=True
    )
    port = Integer(
        None,
        allow_none=True,
        min=1,
        max=65535,
        help=f"The TCP port on 127.0.0.1 ({connection.DEFAULT_PORT}, or the next free one).",
    ).tag(config=True)
    tcp = Bool(True, help="Listen on TCP as well as on a Unix socket.").tag(config=True)
    kernel = Unicode(
        None, allow_none=True, help="The kernelspec of the engines (kernelfleet's own Python)."
    ).tag(config=True)
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
        help="Modules (numpy,pandas) loaded once for all engines; none that start threads.",
    ).tag(config=True)
    fork = Bool(
        True, help="Fork engines from one warm process instead of starting each on its own."
    ).tag(config=True)
    insecure_kernel = Bool(
        False,
        help="Allow kernels that every user of this machine can listen to: on loopback TCP, "
        "without encryption.",
    ).tag(config=True)
    daemonize = Bool(False, help="Return when the engines answer; the fleet stays.").tag(
        config=True
    )

    classes = [Limits]
    aliases = {
        ("n", "engines"): "Start.n",
        "name": "Start.fleet_name",
        "port": "Start.port",
        "kernel": "Start.kernel",
        "on-start": "Start.on_start",
        "restart": "Start.restart",
        "preload": "Start.preload",
        **Command.aliases,
    }
    flags = {
        "no-tcp": ({"Start": {"tcp": False}}, "A Unix socket only."),
        "no-fork": ({"Start": {"fork": False}}, "Start each engine as a process of its own."),
        "insecure-kernel": ({"Start": {"insecure_kernel": True}}, str(insecure_kernel.help)),
        "daemonize": ({"Start": {"daemonize": True}}, str(daemonize.help)),
        **Command.flags,
    }

    @default("n")
    def _number_of_cores(self) -> int:
        return number_of_cores()

    @validate("fleet_name")
    def _usable_name(self, proposal: Any) -> str:
        try:
            return connection.check_name(proposal.value)
        except ValueError as error:
            raise TraitError(str(error)) from None

    def work(self) -> int:
        """Become the controller, or start a process that does."""
        if self.extra_args:
            raise UsageError(
                f"start takes no argument {self.extra_args[0]!r}; --name names a fleet"
            )
        ready_fd = os.environ.pop(READY_FD, None)
        if ready_fd is not None:
            return _serve_detached(self, int(ready_fd))
        if self.daemonize and not HERE.process_groups:
            raise UsageError("--daemonize needs Unix: start the fleet in a terminal of its own")
        if self.daemonize:
            return _start_detached(self.argv, self.fleet_name)
        return _serve(self, lambda text: print(text, flush=True), to_stderr=True)


def _limits(start: Start) -> dict[str, int | None]:
    """What the configuration says about limits."""
    unknown = sorted(set(start.config.Limits) - set(limit_names()))
    if unknown:
        raise UsageError(f"there is no limit {unknown[0]!r}; there are {', '.join(limit_names())}")
    try:
        limits = Limits(config=start.config)
    except TraitError as error:
        raise UsageError(str(error)) from error
    return {name: getattr(limits, name) for name in start.config.Limits}


def _serve(start: Start, say: Callable[[str], None], to_stderr: bool) -> int:
    """Run the controller in this process until it is told to end."""
    from kernelfleet.controller.daemon import DaemonOptions, run_daemon

    options = DaemonOptions(
        name=start.fleet_name,
        n=start.n,
        kernel=start.kernel,
        tcp=start.tcp,
        port=start.port,
        on_start=start.on_start,
        restart=start.restart,
        preload=tuple(name.strip() for name in start.preload.split(",") if name.strip()),
        fork=start.fork,
        insecure_kernel=start.insecure_kernel,
        limits=_limits(start),
    )
    log = logging.getLogger("kernelfleet")

    def on_ready(fleet: connection.FleetFile) -> None:
        log.info("started fleet %r: %d engines, pid %d", fleet.name, start.n, fleet.pid)
        say(announcement(fleet, start.n))

    with _logging(log, start.fleet_name, start.log_level, to_stderr):
        _hang_up_is_sigterm()
        signum = run_daemon(options, on_ready)
        when = " before it was ready" if signum else ""
        log.info("stopped fleet %r%s", start.fleet_name, when)
    # A fleet that ran and was ended in order is no failure, however it was ended.
    return EXIT_OK if signum is None else 128 + signum


def _hang_up_is_sigterm() -> None:
    """End in order when the terminal goes away, unless ``nohup`` says that it does not matter."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


class PrivateLog(RotatingFileHandler):
    """A log that its owner alone can read, whatever the umask."""

    def _open(self) -> TextIOWrapper:
        fd = open_private(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return TextIOWrapper(open(fd, "ab"), encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Say nothing: it would be said for each line, in the middle of whatever is on stderr."""

    def close(self) -> None:
        """Close the file; what could not be written before cannot be now."""
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def _logging(log: logging.Logger, name: str, level: Any, to_stderr: bool) -> Iterator[None]:
    """Send what is logged to a file of bounded size, and if wanted what matters to stderr."""
    directory = connection.make_log_dir(name)
    handlers: list[logging.Handler] = [
        PrivateLog(directory / "controller.log", maxBytes=LOG_FILE_BYTES, backupCount=1, delay=True)
    ]
    if to_stderr:
        handlers.append(logging.StreamHandler())
        handlers[-1].setLevel(logging.WARNING if level == logging.INFO else level)
    log.setLevel(level)
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def announcement(fleet: connection.FleetFile, n: int) -> str:
    """What was started, where its connection file is, how to connect and how to stop it."""
    default = fleet.name == connection.DEFAULT_NAME
    rows = [
        ("connect", f"MultiEngineClient({'' if default else repr(fleet.name)})"),
        ("connection file", str(fleet.path)),
        ("TCP", f"{fleet.tcp} (encrypted)" if fleet.tcp else "off"),
        ("stop", "kernelfleet stop" + ("" if default else f" {fleet.name}")),
    ]
    engines = "1 engine" if n == 1 else f"{n} engines"
    head = f"Fleet {fleet.name!r} is ready: {engines}, controller pid {fleet.pid}"
    return "\n".join([head, *(f"  {what:<16} {text}" for what, text in rows)])


# --- detached: the parent waits for one line of JSON, {"ready": text} or {"error": text, "code": n}


def _start_detached(argv: list[str], name: str) -> int:
    """Run the same command line in a session of its own; return when it is ready or has failed."""
    directory = connection.make_log_dir(name)
    read_fd, write_fd = os.pipe()
    log = directory / "start.log"
    log_fd = open_private(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(log_fd, "wb") as output, open(read_fd, "rb") as reports:
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
        try:
            report = reports.readline()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    message: dict[str, Any] = json.loads(report or "{}")
    if "ready" in message:
        print(message["ready"])
        process.returncode = 0  # not ours any more: let Popen forget it
        return EXIT_OK
    process.wait()
    complain(message.get("error", f"the controller ended before it was ready; see {log}"))
    return int(message.get("code", EXIT_FAILED))


def _serve_detached(start: Start, fd: int) -> int:
    """Be the detached controller: whoever waits at the other end of ``fd`` gets one report."""
    os.set_inheritable(fd, False)  # an engine that held it open would keep the parent waiting

    def report(message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError), open(fd, "w") as pipe:
            pipe.write(json.dumps(message) + "\n")

    reported = False

    def say(text: str) -> None:
        nonlocal reported
        reported = True
        report({"ready": text})

    try:
        return _serve(start, say, to_stderr=False)
    except (errors.FleetError, OSError, ValueError) as error:
        if reported:
            raise
        report({"error": str(error), "code": exit_code_of(error)})
        return exit_code_of(error)
