# PYTHON_ARGCOMPLETE_OK
"""The entry point of the scripts, which imports the rest only when a Ctrl-C is no harm."""

from __future__ import annotations

import signal


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    The imports take a tenth of a second, in which a Ctrl-C would be a traceback from the middle
    of somebody's module. There is nothing to clean up yet, so it ends the process as it ends any
    program that does not care.

    Args:
        argv: The arguments after the program's name; ``sys.argv[1:]`` if None.

    Returns:
        The exit code. ``--help`` and ``--version`` raise ``SystemExit`` instead, as everywhere.
    """
    heeded = signal.getsignal(signal.SIGINT)
    if heeded is signal.default_int_handler:  # else it is ignored (nohup), and stays so
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from kernelfleet.cli import application

    if heeded is signal.default_int_handler:
        signal.signal(signal.SIGINT, heeded)
    return application.main(argv)
