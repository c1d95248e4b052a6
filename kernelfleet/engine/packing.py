"""Messages that JSON cannot say as they are: said as well as can be, as a lost reply is a hang.

Text may hold half a surrogate pair (a file name that is no Unicode, the user's mistake), which no
UTF-8 can say; jupyter_client (8.10) raises then, and what was to be sent never is.

And user code may have put functions of its own in the place of ``json.dumps`` and ``loads``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from jupyter_client import session

Pack = Callable[[Any], bytes]


def keep_own_json() -> None:
    """Let messages be packed by the functions that ``json`` has now, whatever is put there later.

    Where orjson is installed, jupyter_client (8.10) does not use ``json`` at all.
    """
    vars(session)["json"] = SimpleNamespace(dumps=json.dumps, loads=json.loads)


def lenient(pack: Pack) -> Pack:
    """A packer that writes what no UTF-8 can say as escapes, and refuses nothing else."""

    def packed(message: Any) -> bytes:
        try:
            return pack(message)
        except UnicodeEncodeError:
            return pack(json_safe(message))

    return packed


def json_safe(value: Any) -> Any:
    """The same with such texts escaped, as ``ascii`` would write them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {json_safe(key): json_safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(each) for each in value]
    return value
