"""Fleets that the panel starts: daemons of their own, which outlive Jupyter Server.

They are started by ``kernelfleet start --daemonize``, so that they are what the command line makes.
One that does not answer is ended by ``kernelfleet stop``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelfleet.server.description import CONNECT
from kernelfleet.server.problems import BadBody

if TYPE_CHECKING:
    from kernelfleet.server.shapes import FleetHead, NewFleet, Problem

#: Exit codes of ``kernelfleet start`` that say that the request was wrong.
EXIT_USAGE, EXIT_EXISTS = 2, 10

#: The fields of a new fleet, and their types.
FIELDS: dict[str, type] = {"name": str, "n": int, "kernel": str, "cwd": str, "cluster": str}


def check_new_fleet(body: Any) -> NewFleet:
    """The body of ``POST fleets``, checked as far as that needs no file and no process.

    Raises:
        BadBody: it is something else.
    """
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise BadBody(f"the body is to be a JSON object, not {type(body).__name__}")
    checked = {key: value for key, value in body.items() if value is not None}
    for key, value in checked.items():
        if key not in FIELDS:
            raise BadBody(f"a new fleet has no {key!r}; there are {', '.join(FIELDS)}")
        if not isinstance(value, FIELDS[key]) or isinstance(value, bool):
            raise BadBody(f"{key!r} is to be of type {FIELDS[key].__name__}, not {value!r}")
    if checked.get("n", 1) < 1:
        raise BadBody(f"a fleet has at least one engine, not {checked['n']}")
    return checked  # type: ignore[return-value]


def free_name(taken: set[str]) -> str:
    """The name of a fleet that was given none: ``default``, else the first free ``fleet-N``."""
    names = ["default", *(f"fleet-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def folder(cwd: str | None, root: str) -> str:
    """The working directory of a new fleet.

    Args:
        cwd: What was asked for; relative to ``root``, as paths of the file browser are.
        root: The folder that the server shows.

    Raises:
        BadBody: there is no such folder.
    """
    path = Path(root, Path(cwd or "").expanduser())
    if not path.is_dir():
        raise BadBody(f"there is no folder {path}")
    return str(path)


def command(name: str, new: NewFleet) -> list[str]:
    """The command line that starts a fleet."""
    line = [sys.executable, "-P", "-m", "kernelfleet.cli", "start", "--daemonize", "--name", name]
    for key, option in (("n", "-n"), ("kernel", "--kernel"), ("cluster", "--cluster")):
        if key in new:
            line += [option, str(new[key])]  # type: ignore[literal-required]
    return line


class Starts:
    """The fleets that are being started, and those whose start has failed unheard."""

    def __init__(self) -> None:
        self.states: dict[str, FleetHead] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}

    async def start(self, name: str, new: NewFleet, cwd: str, patience: float) -> bool:
        """Start a fleet.

        Args:
            name: The name that it gets.
            new: What else was asked for.
            cwd: The working directory of its engines.
            patience: Seconds to wait for it.

        Returns:
            Whether its engines answer; otherwise the start goes on, and its end is seen in
            ``states``.

        Raises:
            BadBody: an option is wrong.
            FleetExists: there is one of this name.
            StartError: it did not start.
            FleetStopped: somebody else has given the start up meanwhile.
        """
        from kernelfleet.errors.tree import FleetStopped, StartError
        from kernelfleet.wire.platforms import HERE

        if not HERE.process_groups:
            raise StartError(
                "a fleet in the background needs Unix: run `kernelfleet start` in a terminal, or "
                "`%fleet start` in a notebook"
            )
        self.states[name] = starting(name, new.get("cluster"))
        task = asyncio.get_running_loop().create_task(_run(name, command(name, new), cwd))
        self._starting[name] = task
        try:
            await asyncio.wait_for(asyncio.shield(task), patience)
        except TimeoutError:
            task.add_done_callback(lambda _: self._ended_late(name, task))
            return False
        except BaseException as error:
            if not task.done():  # (who has asked is gone)
                task.add_done_callback(lambda _: self._ended_late(name, task))
                raise
            self._forget(name, task)
            if isinstance(error, asyncio.CancelledError) and task.cancelled():
                raise FleetStopped(f"fleet {name!r} was stopped while it started") from None
            raise
        self._forget(name, task)
        return True

    def _ended_late(self, name: str, task: asyncio.Task[None]) -> None:
        self._forget(name, task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.states[name] = failed(name, error)

    def _forget(self, name: str, task: asyncio.Task[None]) -> None:
        if self._starting.get(name) is task:  # else it was given up, and the name may have another
            del self._starting[name]
            self.states.pop(name, None)

    async def forget(self, name: str) -> bool:
        """End a start that goes on, or take one that has failed off the list.

        Returns:
            Whether there was one.
        """
        task = self._starting.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        return self.states.pop(name, None) is not None or task is not None

    async def close(self) -> None:
        """Give up the starts that go on."""
        for name in list(self._starting):
            await self.forget(name)


async def _run(name: str, line: list[str], cwd: str) -> None:
    """Run ``kernelfleet start --daemonize``; if this is cancelled, it takes back what it did."""
    from kernelfleet.errors.tree import ControllerUnreachable

    process = await asyncio.create_subprocess_exec(
        *line, cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, complaints = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        if await process.wait() == 0:  # it was there already
            with contextlib.suppress(ControllerUnreachable):
                await end_by_force(name)
        raise
    if process.returncode:
        text = (complaints or out).decode(errors="replace").strip()
        raise start_error(process.returncode, text)


async def end_by_force(name: str) -> None:
    """End a daemon whose controller does not answer: ``kernelfleet stop`` may kill it.

    Raises:
        ControllerUnreachable: it could not be ended, as it is on another machine.
    """
    from kernelfleet.errors.tree import ControllerUnreachable

    line = [sys.executable, "-P", "-m", "kernelfleet.cli", "stop", name, "--timeout", "5"]
    process = await asyncio.create_subprocess_exec(
        *line, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaints = await process.communicate()
    if process.returncode:
        text = complaints.decode(errors="replace").strip().removeprefix("kernelfleet: ")
        raise ControllerUnreachable(text)


def start_error(code: int, text: str) -> Exception:
    """What an exit code and the complaints of ``kernelfleet start`` mean."""
    from kernelfleet.errors.tree import FleetExists, StartError

    text = text.removeprefix("kernelfleet: ") or f"kernelfleet start ended with {code}"
    if code == EXIT_EXISTS:
        return FleetExists(text)
    return BadBody(text) if code == EXIT_USAGE else StartError(text)


def starting(name: str, cluster: str | None = None) -> FleetHead:
    """The head of a fleet that is being started."""
    return {
        "name": name,
        "state": "starting",
        "embedded": False,
        "owner": {"kind": "daemon", "pid": os.getpid(), "host": platform.node(), "path": None},
        "pid": os.getpid(),
        "host": platform.node(),
        "started": time.time(),
        "tcp": None,
        "connection_file": "",
        "cluster": cluster,
        "counts": {},
        "nodes": 0,
        "connect": CONNECT.format(name=name),
        "problem": None,
    }


def failed(name: str, error: Exception) -> FleetHead:
    """The head of a fleet whose start has failed."""
    problem: Problem = {
        "message": str(error),
        "reason": type(error).__name__,
        "remedy": "Correct what it says and start it again; DELETE takes it off the list.",
    }
    return {**starting(name), "state": "failed", "problem": problem}
