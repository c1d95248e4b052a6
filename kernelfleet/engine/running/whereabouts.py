"""What the main thread is doing: the call that it is in, as its source says.

For a request that an interrupt does not end: compiled code is in the way, and the user is to see
which call that is. Python knows only which of its own lines has called it.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
from types import FrameType

#: The most characters of a call that are shown.
SHOWN_CHARACTERS = 80


def whereabouts() -> str:
    """The call that the main thread is in, and its line; empty if it cannot be told."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return "" if frame is None else _call_in(frame)


def _call_in(frame: FrameType) -> str:
    code = frame.f_code
    position = list(code.co_positions())[max(frame.f_lasti, 0) // 2]
    first, last, begin, end = position
    if first is None:
        return ""
    line = linecache.getline(code.co_filename, first)
    text = line.encode()
    if last == first and begin is not None and end is not None:
        text = text[begin:end]  # columns are in bytes
    shown = text.decode(errors="replace").strip()
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[:SHOWN_CHARACTERS] + "..."
    file = f" of {code.co_filename}" if os.path.exists(code.co_filename) else ""
    return f"{shown} in line {first}{file}" if shown else f"line {first}{file}"
