"""JSON that came from elsewhere, and is to be packed again: whether it can be.

``json.loads`` takes what ``json.dumps`` or a kernel does not: nesting up to the recursion limit
(which one more level around it exceeds), halves of surrogate pairs, NaN and infinities.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

#: Deeper nesting is refused; Python's own limit is 1,000 calls, of which a level may take three.
MAX_DEPTH = 200

#: All but brackets and quotation marks.
_NO_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
#: Rounds that are tried before the walk; each is a level or two.
_ROUNDS = 20


def why_not_packable(value: Any) -> str | None:
    """What is wrong with a value that ``json.loads`` has made; None if it can be packed again."""
    level: list[Any] = [[value]]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return f"it is nested deeper than {MAX_DEPTH} levels"
        inner = []
        for container in level:
            for each in container if type(container) is list else chain(*container.items()):
                kind = type(each)
                if kind is str:
                    if not each.isascii() and not _is_unicode(each):
                        return "a text holds half a surrogate pair, which is no Unicode"
                elif kind is dict or kind is list:
                    if each:
                        inner.append(each)
                elif kind is float and not math.isfinite(each):
                    return f"a number is {each}"
        level = inner
    return None


def nested_too_deep(packed: bytes, value: Any) -> bool:
    """Whether a value, which was unpacked from these bytes, is nested deeper than we take."""
    if packed.count(b"[") + packed.count(b"{") <= MAX_DEPTH or _is_surely_flat(packed):
        return False
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return True
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return False


def _is_surely_flat(packed: bytes) -> bool:
    """Whether the brackets alone show that nothing is nested too deep, as they mostly do.

    A walk through millions of numbers would take seconds; this takes milliseconds. Each round
    takes away the innermost level, or two of them. A bracket within a text leaves the quotation
    marks around it, so that nothing is shown then.
    """
    if b"\\" in packed:
        packed = packed.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = packed.translate(None, _NO_MARKS).replace(b'""', b"")
    for _ in range(_ROUNDS):
        if not marks:
            return True
        marks = marks.replace(b"[]", b"").replace(b"{}", b"")
    return not marks


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
