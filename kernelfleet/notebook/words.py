"""Completion of the options, sub-commands and names on the line of a magic.

It completes ``%%px --tar``, ``%fleet st`` and ``%pxpeek lon``. The text before the cursor is split
into words, and the last of them, which may be empty, is completed. Code for engines is completed by
an engine; see ``completion.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kernelfleet.client import access
from kernelfleet.notebook.options import VERBS, Parser, cell_parser, fleet_parser
from kernelfleet.wire.files import connection_file

if TYPE_CHECKING:
    from kernelfleet.notebook.shell_state import ShellState


def complete(state: ShellState, before: str) -> tuple[str, list[str]] | None:
    """The completions of the last word before the cursor.

    Args:
        state: The state of the shell.
        before: The text of the cell up to the cursor.

    Returns:
        The beginning of the word that was typed, and all words that it can be completed to; None if
        the cursor is not on the line of one of kernelfleet's magics.
    """
    line = before.rpartition("\n")[2]
    suffixes = "|".join(map(re.escape, sorted(state.suffixes, reverse=True)))
    found = re.match(rf"\s*(%%px|%%engine|%?pxpeek|%?fleet|%?result)({suffixes})?[ \t]+(.*)", line)
    if found is None:
        return None
    magic, suffix, rest = found[1].lstrip("%"), found[2] or "", found[3]
    *words, begun = re.split(r"[ \t]+", rest)
    if magic == "fleet":
        offered = _of_fleet(state, words, begun)
    elif magic == "pxpeek":
        words_begun = begun.rpartition(",")
        begun = words_begun[2]
        offered = _names_there(state, suffix)
    elif magic == "engine" and not words:
        offered = ["all", *_ids_there(state, suffix)]
    elif magic in ("px", "engine"):
        offered, begun = _of_cell(state, words, begun)
    else:
        return None
    return begun, [word for word in offered if word.startswith(begun)]


def _of_cell(state: ShellState, words: list[str], begun: str) -> tuple[list[str], str]:
    """Options of ``%%px``, or the value of the option before."""
    option, equals, value = begun.partition("=")
    if equals:
        begun = value
    else:
        option = words[-1] if words else ""
    if option == "--push":
        return _names_here(state), begun.rpartition(",")[2]
    if option in ("-t", "--targets"):
        return ["all"], begun
    parser = cell_parser()
    return parser.choices_of(option) or _unused(parser, words), begun


def _of_fleet(state: ShellState, words: list[str], begun: str) -> Iterable[str]:
    if not words:
        return ["--help"] if begun.startswith("-") else list(VERBS)
    verb = words[0]
    if verb not in VERBS:
        return []
    if begun.startswith("-"):
        return _unused(fleet_parser().of_verb(verb), words)
    if verb in ("connect", "cells"):
        return [fleet.name for fleet in connection_file.find_fleets()]
    if verb == "attach":
        client = state.clients.get("")
        engines = [] if client is None else client.engines()
        return dict.fromkeys(each.result_id for each in engines if each.result_id)
    return ["all"] if verb in ("use", "restart", "interrupt") else []


def _unused(parser: Parser, words: list[str]) -> list[str]:
    return [option for option in parser.option_words() if option not in words]


def _names_there(state: ShellState, suffix: str) -> list[str]:
    client = state.clients.get(suffix)
    return [] if client is None else client._ipython_key_completions_()


def _ids_there(state: ShellState, suffix: str) -> list[str]:
    client = state.clients.get(suffix)
    return [] if client is None else list(map(str, access.engine_ids(client)))


def _names_here(state: ShellState) -> list[str]:
    hidden = state.shell.user_ns_hidden
    return sorted(
        name
        for name, value in state.shell.user_ns.items()
        if not name.startswith("_") and not (name in hidden and hidden[name] is value)
    )
