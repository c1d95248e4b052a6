"""How a Python is started so that nothing of the current folder is imported before its time.

``python -m MODULE`` puts the current folder first on ``sys.path``, before anything is imported. A
``ctypes.py`` that somebody has left in a shared folder would be run in each kernel that starts
there, and one's own ``random.py`` beside the notebook would take the place of Python's. So the
module is run by a script, which Python starts with the script's own folder on the path instead.
IPython adds the current one when the kernel is complete, behind the standard library, as in every
notebook (``InteractiveShellApp.init_path``), unless the user has set ``PYTHONSAFEPATH``.

``python -P`` would do nearly the same. But whoever looks at ``sys.flags`` later, as IPython 9.7
does before it adds the folder, would think that this is the user's wish; and Python 3.10, which
another environment's kernel may run on, does not know it. Code after ``-c`` comes too late:
Python 3.13 imports ``linecache`` before it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import kernelfleet

#: Run as ``python SAFELY MODULE ARGUMENTS``.
SAFELY = os.path.join(os.path.dirname(os.path.abspath(kernelfleet.__file__)), "launch", "safely.py")

_PYTHON = re.compile(r"(python|pypy)[\d.]*w?(\.exe)?", re.IGNORECASE)
#: Options of Python that take their value as the next argument.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")


def is_python(program: str) -> bool:
    """Whether a command starts a Python, by the program's name."""
    return _PYTHON.fullmatch(re.split(r"[/\\]", program)[-1]) is not None


def safely(argv: Sequence[str]) -> list[str]:
    """The command, looking for nothing in the current folder if it is ``python -m MODULE ...``."""
    argv = list(argv)
    at = _module_option(argv)
    return argv if at is None else [*argv[:at], SAFELY, *argv[at + 1 :]]


def _module_option(argv: list[str]) -> int | None:
    """Where ``-m`` is among the options of a Python; None if there is none."""
    if not argv or not is_python(argv[0]):
        return None
    at = 1
    while at < len(argv) and argv[at].startswith("-"):
        if argv[at] == "-m":
            return at if at + 1 < len(argv) else None
        if argv[at] == "-c":
            return None
        at += 2 if argv[at] in _WITH_VALUE else 1
    return None


def module_index(argv: Sequence[str]) -> int | None:
    """Where the module's name is in ``python -m MODULE`` or its safe form, without options."""
    return 2 if len(argv) >= 3 and argv[1] in ("-m", SAFELY) else None
