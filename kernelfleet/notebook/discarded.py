"""Finds out whether the code that calls a magic discards its value.

IPython shows only the value of the last expression of a cell. The value of a ``%px`` line in a
loop, or before another statement, is discarded and would never be seen, so the magic shows it
itself. It does not if the value is used (by the display hook, an assignment or a function), so that
each value is shown once.

Whether a value is discarded is read from the byte code of the caller: then the instruction after
the call is ``POP_TOP`` (CPython 3.11 to 3.13).
"""

from __future__ import annotations

import dis
import os
import sys
from types import FrameType
from typing import Any

#: The methods of IPython's shell through which magics are called.
_CALLERS = ("run_line_magic", "run_cell_magic")

#: Code that ``%timeit`` runs has file names that begin so. It discards values thousands of times,
#: and none of them is to be shown.
_TIMEIT = "<magic-timeit>"


def value_is_discarded() -> bool:
    """Whether the value of the running magic is discarded by the code that has called it."""
    frame = _caller_of_the_magic(sys._getframe(1))
    if frame is None or frame.f_code.co_filename.startswith(_TIMEIT):
        return False
    following = (each for each in dis.get_instructions(frame.f_code) if each.offset > frame.f_lasti)
    instruction = next(following, None)
    return instruction is not None and instruction.opname == "POP_TOP"


def _caller_of_the_magic(frame: FrameType | None) -> FrameType | None:
    """The user's frame below IPython's ``run_line_magic`` or ``run_cell_magic``."""
    import IPython

    folder = os.path.dirname(os.path.abspath(IPython.__file__)) + os.sep
    while frame is not None:
        code = frame.f_code
        if code.co_name in _CALLERS and code.co_filename.startswith(folder):
            return frame.f_back
        frame = frame.f_back
    return None


def show(shell: Any, value: object) -> None:
    """Show a value as the display hook does, but without ``Out[n]``."""
    data, metadata = shell.display_formatter.format(value)
    shell.display_pub.publish(data, metadata)
