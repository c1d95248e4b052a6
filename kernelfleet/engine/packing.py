"""Packing messages so that user code cannot prevent it: for the client, a lost reply is a hang.

A text may hold half a surrogate pair, from a file name that is no valid Unicode or by a mistake of
the user's. UTF-8 cannot encode that. jupyter_client 8.10 raises UnicodeEncodeError for most of
them, and the message is never sent (https://github.com/jupyter/jupyter_client/issues/778, mended
for file names only). This can go when it sends every text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from jupyter_client import session

Pack = Callable[[Any], bytes]


def keep_own_json() -> None:
    """Let jupyter_client keep the functions that ``json`` has now.

    This serves users who replace ``json.dumps`` in their session by a faster library's: those lack
    options that jupyter_client passes, and every reply would be lost. Where orjson is installed,
    jupyter_client 8.10 does not use ``json``.
    """
    vars(session)["json"] = SimpleNamespace(dumps=json.dumps, loads=json.loads)


def lenient(pack: Pack) -> Pack:
    """Return a packer that escapes what UTF-8 cannot encode, and else does as ``pack``."""

    def packed(message: Any) -> bytes:
        try:
            return pack(message)
        except UnicodeEncodeError:
            return pack(json_safe(message))

    return packed


def json_safe(value: Any) -> Any:
    """Return a message with lone surrogates in its texts escaped, as ``ascii`` writes them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {json_safe(key): json_safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(each) for each in value]
    return value
