"""The application that runs a sub-command, and turns errors into a message and an exit code."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches

from jupyter_core.application import NoStart

from kernelfleet import errors
from kernelfleet.cli.base import COMMANDS, Command
from kernelfleet.cli.exits import (
    EXIT_FAILED,
    EXIT_SIGINT,
    EXIT_USAGE,
    UsageError,
    complain,
    exit_code_of,
)


class KernelFleet(Command):
    """``kernelfleet``."""

    name = "kernelfleet"
    usage = "kernelfleet SUB-COMMAND [options]"
    description = "A fleet of IPython kernels that you steer as if it were one interpreter."
    examples = """
        kernelfleet demo                    what it is about, in ten seconds
        kernelfleet start -n 4              four engines, until Ctrl-C
        kernelfleet run -n 4 script.py      one script on four engines
        eval "$(register-python-argcomplete kernelfleet)"     shell completion
    """
    subcommands = COMMANDS

    def work(self) -> int:
        """Print the help; there is no sub-command, or one that does not exist."""
        if self.extra_args:
            close = get_close_matches(self.extra_args[0], COMMANDS, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise UsageError(
                f"there is no sub-command {self.extra_args[0]!r}{hint}, only {', '.join(COMMANDS)}"
            )
        self.print_help()
        return EXIT_USAGE


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after the program's name; ``sys.argv[1:]`` if None.

    Returns:
        The exit code. ``--help`` and ``--version`` raise ``SystemExit`` instead, as in argparse.
    """
    try:
        code = _run(argv)
        sys.stdout.flush()  # (a closed pipe would be noticed only when the interpreter ends)
    except KeyboardInterrupt:
        return EXIT_SIGINT
    except BrokenPipeError:
        return _stdout_is_gone()
    return code


def _run(argv: list[str] | None) -> int:
    app = KernelFleet.instance()
    try:
        app.initialize(argv)
        app.start()
    except NoStart:
        pass
    except UsageError as error:
        command = _leaf(app).usage.split(" [")[0].removesuffix(" SUB-COMMAND")
        complain(f"{error}; `{command} --help` tells what there is", command)
        return EXIT_USAGE
    except BrokenPipeError:
        raise
    except (errors.FleetError, OSError, ValueError) as error:
        if _leaf(app).log_level in (10, "DEBUG"):
            raise
        complain(str(error) or type(error).__name__)
        return exit_code_of(error)
    finally:
        type(_leaf(app)).clear_instance()
        KernelFleet.clear_instance()
    return _leaf(app).exit_code


def _leaf(app: Command) -> Command:
    """The sub-command that was chosen, else the application itself."""
    return app.subapp if isinstance(app.subapp, Command) else app


def _stdout_is_gone() -> int:
    """End quietly when the reader of stdout has gone, as in ``kernelfleet list | head -1``.

    The interpreter flushes stdout once more when it exits; that goes to the null device.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILED
