"""Whether the code that calls a magic throws its value away.

IPython shows the value of the last expression of a cell only. The value of a ``%px`` line in a
loop, or before another statement, is thrown away, and so it would never be seen. The magic then
shows it itself; where somebody takes the value (the display hook, an assignment, a function),
it does not, so that everything is shown once.

What becomes of a value is read off the caller's byte code: the instruction after the call is
``POP_TOP`` if it is thrown away (CPython 3.11 to 3.13).
"""

from __future__ import annotations

import dis
import os
import sys
from types import FrameType
from typing import Any

#: The methods of IPython's shell through which magics are called.
_CALLERS = ("run_line_magic", "run_cell_magic")

#: ``%timeit`` throws every value away, thousands of times.
_TIMEIT = "<magic-timeit>"


def value_is_discarded() -> bool:
    """Whether the value of the magic that runs now is thrown away by the code that calls it."""
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
    """Show a value as the display hook would, but without a number."""
    data, metadata = shell.display_formatter.format(value)
    shell.display_pub.publish(data, metadata)
