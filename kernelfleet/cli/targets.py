"""Which engines a command is about: ``kernelfleet restart sweep 0,2``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kernelfleet.cli.exits import UsageError

#: An argument that names engines: ``all``, ``2``, ``0,2``, ``1:4``, ``-1:``.
TARGETS = re.compile(r"all|[-0-9:,]+")
#: What the pages of help say of it.
HELP = "TARGETS is all (if left out), 0, 0,2, 1:4 and the like; another word is the fleet's name."


def split_words(words: Sequence[str]) -> tuple[list[str], str]:
    """Split the arguments into those that name a fleet, and the one that names engines.

    A fleet whose name could also name engines (``2``, ``all``) has to be named with ``--name``.

    Returns:
        The names, and the targets; ``all`` if there are none.

    Raises:
        UsageError: Several words name engines.
    """
    targets = [word for word in words if TARGETS.fullmatch(word)]
    if len(targets) > 1:
        raise UsageError(f"TARGETS is one word, {','.join(targets)}, without blanks")
    names = [word for word in words if word not in targets]
    return names, targets[0] if targets else "all"


def engine_ids(text: str, known: Sequence[int]) -> list[int]:
    """The ids of the engines that were named, each once.

    Args:
        text: What was typed.
        known: The ids that there are.

    Raises:
        UsageError: The text names no engines.
    """
    from kernelfleet.client.targets import parse_targets

    try:
        targets = parse_targets(text, list(known))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if isinstance(targets, str):  # all
        return list(known)
    if isinstance(targets, slice):
        return list(known)[targets]
    if isinstance(targets, int):
        return [targets]
    return list(dict.fromkeys(targets))
