# PYTHON_ARGCOMPLETE_OK
"""The entry point of the scripts. It imports the rest while Ctrl-C ends the process quietly."""

from __future__ import annotations

import signal


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    The imports take a tenth of a second, in which Ctrl-C would print a traceback from the middle of
    some module. There is nothing to clean up yet, so during the imports SIGINT has its default
    effect, which ends the process.

    Args:
        argv: The arguments after the program's name; ``sys.argv[1:]`` if None.

    Returns:
        The exit code. ``--help`` and ``--version`` raise ``SystemExit`` instead, as in argparse.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # (else SIGINT is ignored, as by nohup, and stays so)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from kernelfleet.cli import application
    from kernelfleet.cli.exits import EXIT_SIGINT

    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)
    try:
        code = application.main(argv)
    except KeyboardInterrupt:  # another Ctrl-C, which came while the first was being handled
        code = EXIT_SIGINT
    if code == EXIT_SIGINT and argv is None:
        # Everything is cleaned up and the interpreter is ending. Ctrl-C pressed once more would now
        # end the process by the signal instead, and the caller would not see the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code
