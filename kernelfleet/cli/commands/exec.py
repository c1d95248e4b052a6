"""``kernelfleet exec``: run code or a script on engines of a running fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from traitlets import Float, Unicode

from kernelfleet.cli import targets
from kernelfleet.cli.base import unwind_on_signals
from kernelfleet.cli.commands.run import LinePrinter, report, run_everywhere
from kernelfleet.cli.exits import EXIT_OK, UsageError
from kernelfleet.cli.job import Job, Start, prepare, split_argv
from kernelfleet.cli.naming import NamedCommand, find_fleet

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.results.pending import PendingResult

COMMAND = "kernelfleet exec"


class Exec(NamedCommand):
    """``kernelfleet exec``."""

    name = "kernelfleet-exec"
    usage = "kernelfleet exec [options] (FILE [arguments] | -c CODE | -)"
    description = """
        Run a script (.py, or .ipy with IPython's syntax), code, or what comes on standard input (-)
        on engines of a running fleet, among the variables that are there, and show what they print
        as it comes. The exit code is 0 if it succeeded everywhere. Ctrl-C interrupts it there.

        Without --name: the fleet named `default`, else the only one running.
    """
    examples = """
        kernelfleet exec -c "import numpy; print(numpy.__version__)"
        kernelfleet exec --name sweep -t 0,2 -c "len(results)"
        kernelfleet exec prepare.py --rows 1000
    """

    targets = Unicode("all", help="On which engines: all, 0, 0,2, 1:4 and the like (all).").tag(
        config=True
    )
    timeout = Float(
        None, allow_none=True, min=0, help="Wait no longer than so many seconds; it goes on then."
    ).tag(config=True)
    completes_arguments = None  # files
    aliases = {
        "name": "Exec.fleet_name",
        ("t", "targets"): "Exec.targets",
        "timeout": "Exec.timeout",
        **NamedCommand.aliases,
    }

    job: Job | None = None

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Parse kernelfleet's own options; what follows the script is the script's."""
        own, self.job = split_argv(list(argv or ()), self.options_with_value())
        super().parse_command_line(own)

    def work(self) -> int:
        """Run the job, and say where it has failed."""
        job = self.job
        if job is None:
            raise UsageError("exec what? Name a script, or give code with -c")
        if job.module is not None:
            raise UsageError("-m is for `kernelfleet run`: exec takes a script, or code with -c")
        if job.code is not None and len(job.argv) > 1:
            raise UsageError("code of -c takes no arguments; it sees the variables of the engines")
        fleet = find_fleet(self.given_name([]))
        from kernelfleet.client.client import MultiEngineClient

        with MultiEngineClient(fleet.name) as mec:
            engines = [engine for engine in mec.engines() if engine.state != "dead"]
            ids = targets.engine_ids(self.targets, [engine.id for engine in engines])
            python = all(engine.python for engine in engines if engine.id in ids)
            start = _cell(job.code) if job.code is not None else prepare(job, python=python)
            mec.targets = ids
            unwind_on_signals()
            printer = LinePrinter(len(str(max(ids, default=0))))
            error = printer.print_all(
                run_everywhere(mec, start, self.timeout, interrupt=interrupt_own)
            )
        return report(error, command=COMMAND) if error else EXIT_OK


def _cell(code: str) -> Start:
    """Runs code as a cell, so that the value of its last expression is shown."""

    def start(mec: MultiEngineClient, on_output: Callable[..., None]) -> Any:
        return mec.execute(code, block=False, on_output=on_output)

    return start


def interrupt_own(pending: PendingResult[Any]) -> None:
    """Interrupt the job alone: others may use the fleet as well."""
    pending.cancel(interrupt=True)
