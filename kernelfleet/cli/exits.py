"""The exit codes of commands, and the line on stderr that says what went wrong."""

from __future__ import annotations

import sys

from kernelfleet import errors

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ALREADY_RUNNING = 10
EXIT_NOT_RUNNING = 11
EXIT_SEVERAL_RUNNING = 12
EXIT_TIMEOUT = 124
EXIT_SIGINT = 130


class UsageError(Exception):
    """The command line or the configuration file is wrong."""


def complain(message: str, command: str = "kernelfleet") -> None:
    """Print a message to stderr, as one line."""
    print(f"{command}: {' '.join(message.split())}", file=sys.stderr)


def exit_code_of(error: BaseException) -> int:
    """The exit code for an error, which tells a script what went wrong."""
    if isinstance(error, errors.FleetExists):
        return EXIT_ALREADY_RUNNING
    if isinstance(error, errors.SeveralFleets):
        return EXIT_SEVERAL_RUNNING
    if isinstance(error, errors.FleetNotFound):
        return EXIT_NOT_RUNNING
    if isinstance(error, TimeoutError):
        return EXIT_TIMEOUT
    if isinstance(error, KeyboardInterrupt):
        return EXIT_SIGINT
    return EXIT_FAILED
