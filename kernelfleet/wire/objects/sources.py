"""The source lines of code that travels by value, so that tracebacks show them where it runs.

A code object travels with its file name and line numbers (cloudpickle 3.1.3 replaces the name by
``<dynamic-code>``) and with its source: the whole text of a notebook's cell, or the function's own
lines of a file. The receiver keeps them in ``linecache``, from which tracebacks, warnings,
``inspect.getsource`` and pdb read. One file name never stands for two texts: if the receiver has
other lines under it (an edited file, another session's ``<python-input-0>``), the code gets another
file name.
"""

from __future__ import annotations

import hashlib
import linecache
import types
from typing import Any

from kernelfleet.wire.objects import pythons

#: Longer source texts do not travel; tracebacks then show no lines.
LIMIT_BYTES = 64 * 1024
#: For how many file names this process keeps the lines of code that has arrived.
MAX_KEPT = 2000

#: A function's source: the number of its first line, and the text.
Source = tuple[int, str]

_BLANK = "\n"
#: The file names in ``linecache`` that this module has set, the least recently set first.
_kept: dict[str, None] = {}


def reduce_code(code: types.CodeType) -> tuple[Any, ...]:
    """Reduce a code object, with its file name and the version of this Python."""
    return pythons.make_code, (
        pythons.series(pythons.VERSION),
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_nlocals,
        code.co_stacksize,
        code.co_flags,
        code.co_code,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_filename,
        code.co_name,
        code.co_qualname,
        code.co_firstlineno,
        code.co_linetable,
        code.co_exceptiontable,
        code.co_freevars,
        code.co_cellvars,
    )


def source_of(code: types.CodeType, of_cells: dict[str, Source]) -> Source | None:
    """Return the source that travels with a function.

    Args:
        code: The code of the function.
        of_cells: The sources of whole cells that this call has returned before. Each is one
            object, so that it is pickled once.
    """
    name = code.co_filename
    lines = linecache.getlines(name)
    if not lines:
        return None
    entry = linecache.cache.get(name)
    if entry is not None and len(entry) == 4 and entry[1] is None and entry[0] <= LIMIT_BYTES:
        found = of_cells.get(name)
        if found is None:
            found = of_cells[name] = (1, "".join(lines))
        return found
    first = code.co_firstlineno
    text = "".join(lines[first - 1 : _last_line(code)])
    return (first, text) if text and len(text) <= LIMIT_BYTES else None


def _last_line(code: types.CodeType) -> int:
    lines = [line for _, _, line in code.co_lines() if line is not None]
    nested = [_last_line(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    return max([code.co_firstlineno, *lines, *nested])


def with_source(code: types.CodeType, source: Source) -> types.CodeType:
    """Keep the source of code that has arrived; return the code, renamed if necessary."""
    first, text = source
    lines = text.splitlines(keepends=True)
    name = code.co_filename
    if _place(name, first, lines):
        return code
    own = f"{name} ({hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]})"
    if not _place(own, first, lines):
        return code  # other code has put other lines there
    return _renamed(code, name, own)


def _place(name: str, first: int, lines: list[str]) -> bool:
    """Put the lines at their place under a file name. Return False if others are there."""
    place = slice(first - 1, first - 1 + len(lines))
    there = linecache.getlines(name)
    if _same(there[place], lines):
        return True
    if there and name not in _kept:
        linecache.checkcache(name)  # the file may have been edited since it was read
        there = linecache.getlines(name)
        if there:  # a file of this machine, or a cell of this process
            return _same(there[place], lines)
    present = there[place]
    if not all(old in (_BLANK, new) for old, new in zip(present, lines, strict=False)):
        return False
    grown = there + [_BLANK] * (first - 1 + len(lines) - len(there))
    grown[place] = lines
    linecache.cache[name] = (sum(map(len, grown)), None, grown, name)
    _kept.pop(name, None)
    _kept[name] = None
    while len(_kept) > MAX_KEPT:
        oldest = next(iter(_kept))
        _kept.pop(oldest, None)
        linecache.cache.pop(oldest, None)
    return True


def _same(present: list[str], lines: list[str]) -> bool:
    """Tell whether the lines are equal; the last one may lack its newline."""
    if len(present) != len(lines) or present[:-1] != lines[:-1]:
        return False
    return not lines or present[-1].rstrip("\n") == lines[-1].rstrip("\n")


def _renamed(code: types.CodeType, name: str, own: str) -> types.CodeType:
    consts = tuple(
        _renamed(const, name, own) if isinstance(const, types.CodeType) else const
        for const in code.co_consts
    )
    if code.co_filename != name:
        return code.replace(co_consts=consts)
    return code.replace(co_consts=consts, co_filename=own)
