"""``kernelfleet run``: a script, or some code, on every engine of a fleet that lives as long.

SPMD: the script finds ``engine_id``, ``n_engines`` and ``sys.argv``. Its output appears line by
line behind the engine's id, as it comes.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from textwrap import dedent
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from traitlets import Integer, default

from kernelfleet.cli.base import Command, ignore_signals, unwind_on_signals
from kernelfleet.cli.exits import EXIT_FAILED, EXIT_OK, UsageError, complain
from kernelfleet.error_text import format_ids, shows_colours, without_colours
from kernelfleet.errors import CompositeError, FleetError, RemoteError, error_text
from kernelfleet.wire.platforms import number_of_cores

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.errors import Failure


#: How long scripts may take to clean up after a Ctrl-C; another one ends them at once.
WIND_DOWN_SECONDS = 10.0

#: How a script is run; the frame of a traceback in which this stands is ours, not the user's.
RUN_SCRIPT = "exec(compile(pathlib.Path(__file__).read_bytes(), __file__, 'exec'))"

AS_PYTHON = """
import sys, warnings
exit = quit = sys.exit  # these would end the kernel instead of the script
warnings.filterwarnings('ignore', 'To exit: use')  # IPython 9 on SystemExit
""".strip()

SCRIPT_CELL = f"""
try:
    {RUN_SCRIPT}
except SystemExit as status:
    if status.code:  # exit() and exit(0) are success
        raise
""".strip()


class Output(NamedTuple):
    """A piece of what an engine printed, of any length."""

    engine_id: int
    stream: str  # stdout or stderr
    text: str


@dataclass(frozen=True)
class Job:
    """What to run: a script, or with ``code`` what followed ``-c``."""

    argv: tuple[str, ...]
    code: str | None = None

    def cells(self) -> tuple[str, str]:
        """What an engine executes: the preparation, then the job itself.

        Two cells, so that the lines of ``-c CODE`` count from 1 in a traceback.
        """
        argv = f"{AS_PYTHON}\nsys.argv = {list(self.argv)!r}"
        if self.code is not None:
            return argv, self.code
        return f"{argv}\n{script_preparation(Path(self.argv[0]))}", SCRIPT_CELL


class Run(Command):
    """``kernelfleet run``."""

    name = "kernelfleet-run"
    usage = "kernelfleet run [-n N] (SCRIPT | -c CODE) [arguments]"
    description = """
        Start a fleet, run a script or code on every engine, show what they print, and stop the
        fleet. The script finds `engine_id`, `n_engines` and its arguments in `sys.argv`. The exit
        code is 0 if it succeeded everywhere.
    """
    examples = """
        kernelfleet run -n 4 simulate.py --steps 100
        kernelfleet run -n 4 -c "print(engine_id, n_engines)"
    """

    n = Integer(1, min=1, help="How many engines (the number of cores).").tag(config=True)
    aliases = {("n", "engines"): "Run.n", **Command.aliases}

    job: Job | None = None

    @default("n")
    def _number_of_cores(self) -> int:
        return number_of_cores()

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Parse our own options; what comes after the script belongs to it, ``--help`` too."""
        own, job = split_argv(list(argv or ()), self.options_with_value())
        self.job = job
        super().parse_command_line(own)

    def work(self) -> int:
        """Run the job, and leave no fleet behind whatever happens."""
        if self.job is None:
            raise UsageError("run what? Name a script, or give code with -c")
        self.job.cells()  # a script that cannot run is refused before anything is started
        unwind_on_signals()
        logging.getLogger("kernelfleet").setLevel(logging.CRITICAL)  # deaths are in the report
        from kernelfleet.client.fleet import Fleet

        printer = LinePrinter(len(str(self.n - 1)))
        with Fleet(n=self.n) as mec:
            error = printer.print_all(run_everywhere(mec, self.job))
        return report(error) if error else EXIT_OK


def split_argv(argv: list[str], with_value: set[str]) -> tuple[list[str], Job | None]:
    """Cut the command line behind our own options.

    Args:
        argv: What follows ``run``.
        with_value: Our options that take the next argument as their value, as in ``-n 4``.
    """
    i = 0
    while i < len(argv):
        option = argv[i]
        if option == "-c":
            if i + 1 == len(argv):
                raise UsageError("-c needs code")
            return argv[:i], Job(("-c", *argv[i + 2 :]), argv[i + 1])
        if option == "--":
            return argv[:i], Job(tuple(argv[i + 1 :])) if argv[i + 1 :] else None
        if not option.startswith("-"):
            return argv[:i], Job(tuple(argv[i:]))
        i += 2 if option in with_value or (option.startswith("--") and _sets_trait(option)) else 1
    return argv, None


def _sets_trait(option: str) -> bool:
    """``--Run.n 4``, but not ``--Run.n=4``."""
    return "." in option and "=" not in option


def script_preparation(path: Path) -> str:
    """Let an engine see the script as ``python script.py`` would.

    Raises:
        UsageError: The script cannot be read, or is not Python.
    """
    try:
        compile(path.read_bytes(), str(path), "exec")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno}: SyntaxError: {error.msg}") from None
    full = path.resolve()
    return dedent(f"""
        import pathlib
        sys.path.insert(0, {str(full.parent)!r})
        __file__ = {str(full)!r}
    """).strip()


def run_everywhere(
    mec: MultiEngineClient, job: Job
) -> Generator[Output, None, CompositeError | None]:
    """Execute on all engines, yielding what they print as it comes; the one source of output.

    Returns:
        The error of the call, None if all is well (as the value of the generator).
    """
    coming: SimpleQueue[Output | None] = SimpleQueue()

    def note(engine_id: int, msg_type: str, content: Mapping[str, Any]) -> None:
        output = output_of(engine_id, msg_type, content)
        if output:
            coming.put(output)

    preparation, cell = job.cells()
    mec.execute(preparation)
    pending = mec.execute(cell, block=False, on_output=note)
    pending.add_done_callback(lambda _: coming.put(None))
    try:
        while (output := coming.get()) is not None:
            yield output
    except KeyboardInterrupt:
        yield from wind_down(mec, coming)
        raise
    error = pending.exception()
    if error is None or isinstance(error, CompositeError):
        return error
    raise error


def wind_down(
    mec: MultiEngineClient, coming: SimpleQueue[Output | None]
) -> Generator[Output, None, None]:
    """After Ctrl-C: let the scripts end in their own way, for a while or until the next Ctrl-C."""
    unwind_on_signals()
    deadline = time.monotonic() + WIND_DOWN_SECONDS
    try:
        with suppress(FleetError, Empty):
            mec.interrupt(block=False)
            while output := coming.get(timeout=max(0.0, deadline - time.monotonic())):
                yield output
    finally:
        ignore_signals()  # the end of the fleet takes no second


def output_of(engine_id: int, msg_type: str, content: Mapping[str, Any]) -> Output | None:
    """What a Jupyter output message has to show on a terminal; None if nothing."""
    if msg_type == "stream":
        return Output(engine_id, content["name"], content["text"])
    if msg_type in {"execute_result", "display_data"}:
        text = content["data"].get("text/plain")
        return Output(engine_id, "stdout", f"{text}\n") if text else None
    return None  # errors come with the result


class LinePrinter:
    """Puts the engine's id before each line; an unfinished line waits for its end."""

    def __init__(
        self, width: int, stdout: TextIO | None = None, stderr: TextIO | None = None
    ) -> None:
        self._width = width
        self._streams = {"stdout": stdout or sys.stdout, "stderr": stderr or sys.stderr}
        self._unfinished: dict[tuple[int, str], str] = {}

    def print_all(
        self, outputs: Generator[Output, None, CompositeError | None]
    ) -> CompositeError | None:
        """Print everything as it comes; returns what the generator returns."""
        try:
            while True:
                try:
                    self.add(next(outputs))
                except KeyboardInterrupt as interrupt:  # it may have come while we printed
                    self.add(outputs.throw(interrupt))
        except StopIteration as end:
            error: CompositeError | None = end.value
            return error
        finally:
            self.finish()

    def add(self, output: Output) -> None:
        """Print the lines that this piece completes."""
        key = (output.engine_id, output.stream)
        *lines, rest = (self._unfinished.pop(key, "") + output.text).split("\n")
        if rest:
            self._unfinished[key] = rest
        self._print(key, lines)

    def finish(self) -> None:
        """Print what never got its newline."""
        for key, rest in sorted(self._unfinished.items()):
            self._print(key, [rest])
        self._unfinished.clear()

    def _print(self, key: tuple[int, str], lines: Iterable[str]) -> None:
        engine_id, stream = key
        for line in lines:
            # a progress bar redraws its line with carriage returns: its last state counts
            shown = line.rstrip("\r").rpartition("\r")[2]
            self._streams[stream].write(f"[{engine_id:>{self._width}}] {shown}\n")
        self._streams[stream].flush()


def report(error: CompositeError, stderr: TextIO | None = None) -> int:
    """Show what failed, engines that failed alike together, and return the exit code."""
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
    complain(f"failed on engine{plural} {failed}", "kernelfleet run")
    return EXIT_FAILED


def failure_text(failure: Failure) -> str:
    """The traceback without our own frame; how a script ended that called ``sys.exit``."""
    exception = failure.exception
    if isinstance(exception, RemoteError) and exception.ename == "SystemExit":
        status = exception.evalue
        return f"exit status {status}" if re.fullmatch(r"-?\d+", status) else status
    frames = [frame for frame in failure.traceback if not _is_ours(without_colours(frame))]
    return "\n".join(frames) or error_text(exception)


def _exited_well(failure: Failure) -> bool:
    """Code (a script's is caught in its cell) that said ``sys.exit()`` or ``sys.exit(0)``."""
    exception = failure.exception
    return (
        isinstance(exception, RemoteError)
        and exception.ename == "SystemExit"
        and exception.evalue in ("", "0", "None")
    )


def _is_ours(frame: str) -> bool:
    """Whether this part of a traceback is the cell around the script, or IPython's dashes."""
    return RUN_SCRIPT in frame or not frame.strip("-")
