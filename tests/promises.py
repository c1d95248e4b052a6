"""Marks a test with the line of the interface it holds.

A promise reads ``'<section>: <what users may rely on>'``; the sections are those of the interface's
description: 1 client and targets, 2 verbs, 3 results, 4 pending results, 5 queues, 6 errors,
7 scatter, gather, map and functions, 8 magics, 9 command line and files.
"""

from __future__ import annotations

import pytest

SECTIONS = {
    1: "client, targets, block",
    2: "verbs",
    3: "result dicts and ResultList",
    4: "PendingResult",
    5: "the engine's queue",
    6: "errors",
    7: "scatter, gather, map, functions",
    8: "magics",
    9: "command line and files",
}


def promise(text: str) -> pytest.MarkDecorator:
    """``@promise("2: pull(('a', 'b')) returns inner lists")``."""
    return pytest.mark.promise(text)
