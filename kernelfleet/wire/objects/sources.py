"""The source lines of code that travels by value, so that tracebacks show them where it runs.

A code object keeps its file name and its line numbers on the way (cloudpickle 3.1.3 takes the name
away), and its text comes along: all of a notebook's cell, or of a file just the function's own
lines. Where they arrive they are kept in ``linecache``, from which tracebacks, warnings,
``inspect.getsource`` and pdb read. One name never stands for two texts: where the receiver has
other lines under the name (an edited file, another session's ``<python-input-0>``), the code gets a
name of its own.
"""

from __future__ import annotations

import hashlib
import linecache
import types
from typing import Any

from kernelfleet.wire.objects import pythons

#: Longer source texts stay at home; tracebacks then show no lines.
LIMIT_BYTES = 64 * 1024
#: Names whose lines this process keeps for code that came from elsewhere.
MAX_KEPT = 2000

#: What a function's lines are: the number of the first one, and the text.
Source = tuple[int, str]

_BLANK = "\n"
#: The names in ``linecache`` that are ours, the longest unused first.
_kept: dict[str, None] = {}


def reduce_code(code: types.CodeType) -> tuple[Any, ...]:
    """How a code object is pickled: with its file name, as its nested code is, for this Python."""
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
    """What travels as the source of a function.

    Args:
        code: The function's.
        of_cells: What this call has given for whole cells; one object each, so that it is pickled
            once.
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
    """Keep the lines of code that has arrived; the code, under another name if that is taken."""
    first, text = source
    lines = text.splitlines(keepends=True)
    name = code.co_filename
    if _place(name, first, lines):
        return code
    own = f"{name} ({hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]})"
    if not _place(own, first, lines):
        return code  # somebody has put other lines there: it was not us
    return _renamed(code, name, own)


def _place(name: str, first: int, lines: list[str]) -> bool:
    """Have the lines at their place under the name; False if other ones are there."""
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
    """Whether the lines are there; only the last one may lack its newline."""
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
