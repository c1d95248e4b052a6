"""``kernelfleet run``: run a script, a module or code on every engine of a new fleet.

All engines run the same program, which finds ``engine_id``, ``n_engines`` and ``sys.argv``. Its
output is printed line by line as it comes, each line after the engine's id. The fleet ends with it.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from traitlets import Integer, Unicode, default

from kernelfleet.cli import completion
from kernelfleet.cli.base import Command, ignore_signals, unwind_on_signals
from kernelfleet.cli.exits import EXIT_FAILED, EXIT_OK, UsageError, complain
from kernelfleet.cli.job import OUR_FRAMES, Job, Start, prepare, split_argv
from kernelfleet.cli.parsing import listed
from kernelfleet.cli.progress import StartProgress
from kernelfleet.client import access
from kernelfleet.errors.composite import CompositeError
from kernelfleet.errors.text import (
    format_ids,
    shows_colours,
    without_colours,
)
from kernelfleet.errors.tree import CallTimeout, FleetError, RemoteError, error_text
from kernelfleet.session import ctrl_c
from kernelfleet.wire.platforms import number_of_cores

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.results.pending import PendingResult
    from kernelfleet.errors.composite import Failure


#: How long scripts may take to clean up after Ctrl-C. A second Ctrl-C ends them at once.
WIND_DOWN_SECONDS = 10.0


class Output(NamedTuple):
    """A piece of an engine's output, of any length; it need not end with a line end."""

    engine_id: int
    stream: str  # stdout or stderr
    text: str


class Run(Command):
    """``kernelfleet run``."""

    name = "kernelfleet-run"
    usage = "kernelfleet run [options] (SCRIPT | -m MODULE | -c CODE | -) [arguments]"
    description = """
        Start a fleet, run a script (.py, or .ipy with IPython's syntax), a module, code, or what
        comes on standard input (-) on every engine, show what they print, and stop the fleet. It
        finds `engine_id`, `n_engines` and its arguments in `sys.argv`. The exit code is 0 if it
        succeeded everywhere.
    """
    examples = """
        kernelfleet run -n 4 simulate.py --steps 100
        kernelfleet run -n 4 -m package.tool --steps 100
        kernelfleet run -n 4 -c "print(engine_id, n_engines)"
        kernelfleet run -n 4 - < simulate.py
    """

    n = Integer(1, min=1, help="How many engines (the number of cores).").tag(config=True)
    kernel = Unicode(
        None, allow_none=True, help="The kernelspec of the engines (kernelfleet's own Python)."
    ).tag(config=True, completer=completion.kernelspecs)
    on_start = Unicode(
        None, allow_none=True, help="Code that every engine runs before the script."
    ).tag(config=True)
    preload = Unicode(
        "",
        help="Modules (numpy,pandas) loaded once for all engines, none that start threads; and "
        "scripts (setup.py) that are run once, whose variables all engines have.",
    ).tag(config=True)
    completes_arguments = None  # files
    aliases = {
        ("n", "engines"): "Run.n",
        "kernel": "Run.kernel",
        "on-start": "Run.on_start",
        "preload": "Run.preload",
        **Command.aliases,
    }

    job: Job | None = None

    @default("n")
    def _number_of_cores(self) -> int:
        return number_of_cores()

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Parse kernelfleet's own options; what follows the script is the script's."""
        own, job = split_argv(list(argv or ()), self.options_with_value())
        self.job = job
        super().parse_command_line(own)

    def work(self) -> int:
        """Run the job; its fleet has ended when this returns or raises."""
        if self.job is None:
            raise UsageError("run what? Name a script, or a module with -m, or give code with -c")
        start = prepare(self.job, python=speaks_python(self.kernel))
        unwind_on_signals()
        logging.getLogger("kernelfleet").setLevel(
            logging.CRITICAL
        )  # (the report names engines that have died)
        from kernelfleet.client.fleet import Fleet

        printer = LinePrinter(len(str(self.n - 1)))
        fleet = Fleet(
            n=self.n, kernel=self.kernel, on_start=self.on_start, preload=listed(self.preload)
        )
        try:
            with closing(StartProgress(to_files=False)) as progress:
                mec = fleet.start(on_progress=progress.show)
            error = printer.print_all(run_everywhere(mec, start))
        finally:
            fleet.stop()
        return report(error) if error else EXIT_OK


def speaks_python(kernel: str | None) -> bool:
    """Whether the engines of a kernelspec run Python; True also if there is no such kernelspec."""
    if kernel is None:
        return True
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        language = KernelSpecManager().get_kernel_spec(kernel).language
    except NoSuchKernel:
        return True
    return str(language).lower() == "python"


def run_everywhere(
    mec: MultiEngineClient,
    start: Start,
    timeout: float | None = None,
    interrupt: Callable[[PendingResult[Any]], object] | None = None,
) -> Generator[Output, None, CompositeError | None]:
    """Run a job on the engines that are the client's targets, and yield their output as it comes.

    Args:
        mec: The client.
        start: Starts the job.
        timeout: Seconds to wait; None means no limit.
        interrupt: Called after Ctrl-C with the job's PendingResult; None interrupts the engines.

    Raises:
        CallTimeout: ``timeout`` expired; the job goes on.

    Returns:
        The error of the call, as the value of the generator; None if the job has succeeded.
    """
    coming: SimpleQueue[Output | None] = SimpleQueue()

    def note(engine_id: int, msg_type: str, content: Mapping[str, Any]) -> None:
        output = output_of(engine_id, msg_type, content)
        if output:
            coming.put(output)

    try:
        pending = start(mec, note)
    except CompositeError as unprepared:  # (there is no such module on the engines)
        return unprepared
    pending.add_done_callback(lambda _: coming.put(None))
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while (output := _next(coming, deadline)) is not None:
            yield output
    except Empty:
        left = (access.ask_progress(pending) or {}).get("left") or pending.targets
        raise CallTimeout(
            f"it still runs on engines {format_ids(left)} after {timeout:g} s, and goes on there",
            pending_result=pending,
        ) from None
    except KeyboardInterrupt:
        stop = interrupt or (lambda _: mec.interrupt(block=False))
        yield from wind_down(lambda: stop(pending), coming)
        raise
    error = pending.exception()
    if error is None or isinstance(error, CompositeError):
        return error
    raise error


def _next(coming: SimpleQueue[Output | None], deadline: float | None) -> Output | None:
    """What comes next; raises Empty if nothing comes until the deadline."""
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    return ctrl_c.get_from(coming, left)


def wind_down(
    interrupt: Callable[[], object], coming: SimpleQueue[Output | None]
) -> Generator[Output, None, None]:
    """After Ctrl-C, give the scripts time to clean up, until the next Ctrl-C."""
    unwind_on_signals()
    deadline = time.monotonic() + WIND_DOWN_SECONDS
    try:
        with suppress(FleetError, Empty):
            interrupt()
            while output := coming.get(timeout=max(0.0, deadline - time.monotonic())):
                yield output
    finally:
        ignore_signals()  # (the fleet ends in less than a second)


def output_of(engine_id: int, msg_type: str, content: Mapping[str, Any]) -> Output | None:
    """The text that a Jupyter output message shows on a terminal; None if there is none."""
    if msg_type == "stream":
        return Output(engine_id, content["name"], content["text"])
    if msg_type in {"execute_result", "display_data"}:
        text = content["data"].get("text/plain")
        return Output(engine_id, "stdout", f"{text}\n") if text else None
    return None  # (an error comes with the result)


class LinePrinter:
    """Prints lines with the engine's id in front; a line is printed when it is complete."""

    def __init__(
        self, width: int, stdout: TextIO | None = None, stderr: TextIO | None = None
    ) -> None:
        self._width = width
        self._streams = {"stdout": stdout or sys.stdout, "stderr": stderr or sys.stderr}
        self._unfinished: dict[tuple[int, str], str] = {}

    def print_all(
        self, outputs: Generator[Output, None, CompositeError | None]
    ) -> CompositeError | None:
        """Print all output as it comes, and return the value of the generator."""
        try:
            while True:
                try:
                    self.add(next(outputs))
                except KeyboardInterrupt as interrupt:  # (Ctrl-C may come while a line is printed)
                    self.add(outputs.throw(interrupt))
        except StopIteration as end:
            error: CompositeError | None = end.value
            return error
        finally:
            self.finish()

    def add(self, output: Output) -> None:
        """Print the lines that a piece of output completes."""
        key = (output.engine_id, output.stream)
        *lines, rest = (self._unfinished.pop(key, "") + output.text).split("\n")
        if rest:
            self._unfinished[key] = rest
        self._print(key, lines)

    def finish(self) -> None:
        """Print the lines that have no line end."""
        for key, rest in sorted(self._unfinished.items()):
            self._print(key, [rest])
        self._unfinished.clear()

    def _print(self, key: tuple[int, str], lines: Iterable[str]) -> None:
        engine_id, stream = key
        for line in lines:
            # A progress bar redraws its line after a carriage return; its last state is printed.
            shown = line.rstrip("\r").rpartition("\r")[2]
            self._streams[stream].write(f"[{engine_id:>{self._width}}] {shown}\n")
        self._streams[stream].flush()


def report(
    error: CompositeError, stderr: TextIO | None = None, command: str = "kernelfleet run"
) -> int:
    """Print the errors, once for all engines that failed alike, and return the exit code."""
    out = stderr or sys.stderr
    alike: dict[str, list[int]] = {}
    failures = [failure for failure in error.failures if not _exited_well(failure)]
    if not failures:
        return EXIT_OK
    for failure in failures:
        text = failure_text(failure)
        text = text if shows_colours(out) else without_colours(text)
        alike.setdefault(text, []).append(-1 if failure.engine_id is None else failure.engine_id)
    for text, ids in alike.items():
        out.write(f"[{format_ids(ids)}] {text}\n")
    failed = format_ids(each for ids in alike.values() for each in ids)
    plural = "s" if len(failures) > 1 else ""
    complain(f"failed on engine{plural} {failed}", command)
    return EXIT_FAILED


def failure_text(failure: Failure) -> str:
    """A traceback without kernelfleet's own frame, or how ``sys.exit`` has ended a script."""
    exception = failure.exception
    if isinstance(exception, RemoteError) and exception.ename == "SystemExit":
        status = exception.evalue
        return f"exit status {status}" if re.fullmatch(r"-?\d+", status) else status
    frames = [frame for frame in failure.traceback if not _is_ours(without_colours(frame))]
    return "\n".join(frames) or error_text(exception)


def _exited_well(failure: Failure) -> bool:
    """Whether code has ended with ``sys.exit()`` or ``sys.exit(0)``, which is success.

    For a script this is handled in the cell that runs it.
    """
    exception = failure.exception
    return (
        isinstance(exception, RemoteError)
        and exception.ename == "SystemExit"
        and exception.evalue in ("", "0", "None")
    )


def _is_ours(frame: str) -> bool:
    """Whether a part of a traceback is the cell around the script, or a line of dashes."""
    return any(each in frame for each in OUR_FRAMES) or not frame.strip("-")
