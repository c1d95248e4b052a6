"""``kernelfleet attach``: a console on one engine of a running fleet."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

from kernelfleet.cli.exits import UsageError
from kernelfleet.cli.naming import NamedCommand, find_fleet
from kernelfleet.errors.tree import FleetError, UnsupportedOperation

if TYPE_CHECKING:
    from kernelfleet.results import EngineInfo


class Attach(NamedCommand):
    """``kernelfleet attach``."""

    name = "kernelfleet-attach"
    usage = "kernelfleet attach [NAME] I [options]"
    description = """
        Open a console on engine I of a running fleet: its variables, its history, its debugger.
        The fleet goes on using the engine, and Ctrl-D ends the console only. It needs
        jupyter_console.

        Without NAME: the fleet named `default`, else the only one running.
    """
    examples = """
        kernelfleet attach 2                engine 2 of the fleet `default`, or of the only one
        kernelfleet attach sweep 0          engine 0 of the fleet `sweep`
    """
    aliases = {"name": "Attach.fleet_name", **NamedCommand.aliases}

    def work(self) -> int:
        """Run the console until it is ended."""
        names = [word for word in self.extra_args if not word.isdecimal()]
        chosen = [word for word in self.extra_args if word.isdecimal()]
        if len(chosen) != 1:
            raise UsageError("which engine? Name it by its number")
        fleet = find_fleet(self.given_name(names))
        check_console()
        from kernelfleet.client.client import MultiEngineClient

        with MultiEngineClient(fleet.name) as mec:
            path = connection_file_of(mec.engines(), int(chosen[0]))
        return run_console(path)


def check_console() -> None:
    """See to it that there is a console.

    Raises:
        UnsupportedOperation: jupyter_console is not installed.
    """
    if importlib.util.find_spec("jupyter_console") is None:
        raise UnsupportedOperation(
            "`kernelfleet attach` needs jupyter_console, which is not installed here: "
            "`pip install jupyter-console`"
        )


def run_console(path: str) -> int:
    """Run a console on the kernel of a connection file; it takes the place of this process.

    ``-P`` keeps the working directory out of its ``sys.path``, where any file could stand in for a
    module of Python.
    """
    command = [sys.executable, "-P", "-m", "jupyter_console", "--existing", path]
    command.append("--no-confirm-exit")  # the engine goes on
    if os.name == "nt":  # there, the shell would not wait for what replaces a process
        return subprocess.call(command)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 (it needs no shell)
    raise AssertionError("the console has taken the place of this process")


def connection_file_of(engines: list[EngineInfo], engine_id: int) -> str:
    """The connection file of an engine that a console on this machine can be attached to.

    Raises:
        FleetError: There is no such engine, it does not run, or it runs on another machine.
    """
    for engine in engines:
        if engine.id != engine_id:
            continue
        if engine.connection_file is None:
            raise FleetError(
                f"engine {engine_id} is {engine.state}: `kernelfleet restart {engine_id}` starts it"
            )
        if engine.host and engine.host != platform.node():
            raise FleetError(
                f"engine {engine_id} runs on {engine.host}: run `jupyter console --existing "
                f"{engine.connection_file}` there"
            )
        return engine.connection_file
    ids = ", ".join(str(engine.id) for engine in engines)
    raise FleetError(f"there is no engine {engine_id}, only {ids}")
