"""The object of a command's last expression: fetched from the life that made it, or not at all.

IPython keeps these objects in ``Out``, by the command's number. But ``Out`` drops old ones, a reset
empties it and begins to count anew, and so does a restart: what stands under a number later may be
another command's object. So whoever gets a command's result gets a token with it, and shows that
when it fetches the object.

Runs in kernels that are not ours as well, whose Python may be older.
"""

from __future__ import annotations

import secrets
from typing import Any


class Values:
    """What ``Out`` of one shell has, by number and token."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._birth = secrets.token_hex(4)
        self._resets = 0
        reset = shell.reset

        def reset_and_count(*args: Any, **options: Any) -> Any:
            self._resets += 1
            return reset(*args, **options)

        shell.reset = reset_and_count  # the one way in which IPython (9.18) empties it at once

    @property
    def _out(self) -> dict[int, Any]:
        kept = self._shell.user_ns.get("_oh")
        return kept if isinstance(kept, dict) else {}

    @property
    def last_number(self) -> int:
        """The number of the command that has just ended."""
        return int(self._shell.execution_count) - 1

    def token(self, number: int) -> str:
        """What this command's object can be fetched with; empty if it has made none."""
        return f"{self._birth}.{self._resets}" if number in self._out else ""

    def get(self, number: int, token: str) -> Any:
        """The object.

        Raises:
            LookupError: It is gone, or never was; the text says why.
        """
        birth, _, resets = token.partition(".")
        if token and birth != self._birth:
            raise LookupError("the engine has been restarted since")
        if token and resets != str(self._resets):
            raise LookupError("the engine has been reset since")
        try:
            return self._out[number]
        except KeyError:
            pass
        if not token:
            raise LookupError("IPython has not kept it in Out")
        raise LookupError(
            f"IPython's Out has dropped it since, which keeps some {self._shell.cache_size} objects"
        )
