"""Messages that JSON cannot say as they are: said as well as can be, as a lost reply is a hang.

Text may hold half a surrogate pair (a file name that is no Unicode, the user's mistake), which no
UTF-8 can say; jupyter_client (8.10) raises then, and what was to be sent never is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Pack = Callable[[Any], bytes]


def forgiving(pack: Pack) -> Pack:
    """A packer that writes what no UTF-8 can say as escapes, and refuses nothing else."""

    def packed(message: Any) -> bytes:
        try:
            return pack(message)
        except UnicodeEncodeError:
            return pack(sayable(message))

    return packed


def sayable(value: Any) -> Any:
    """The same with such texts escaped, as ``ascii`` would write them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {sayable(key): sayable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [sayable(each) for each in value]
    return value
