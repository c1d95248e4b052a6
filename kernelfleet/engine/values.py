"""The object of a command's last expression, kept on the engine until somebody fetches it.

IPython keeps these objects in ``Out`` under the number of their command. ``Out`` drops old ones,
and a reset or a restart empties it and starts numbering at 1 again, so the same number may later
stand for another command's object. Therefore each result carries a token, and whoever fetches the
object presents it: the right object is returned, or an error that says what has happened to it.

This module also runs in kernels that are not kernelfleet's, whose Python may be older.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any, Dict, Optional  # noqa: UP035 (an older Python may evaluate them)

#: How many items of a container are measured; the others are assumed to be like them.
LOOKED_AT = 1000


def about_bytes(value: Any) -> int:
    """Estimate in bytes how much memory an object takes, with its array's data or its items."""
    try:
        size = sys.getsizeof(value, 64)
        held = getattr(value, "nbytes", None)
        if isinstance(held, int):
            return max(size, held)
        if isinstance(value, dict):
            value = [each for pair in zip(value, value.values()) for each in pair]  # noqa: B905
        if isinstance(value, (list, tuple, set, frozenset)) and value:
            some = [each for each, _ in zip(value, range(LOOKED_AT))]  # noqa: B905
            size += sum(map(_own_bytes, some)) * len(value) // len(some)
        return size
    except Exception:  # noqa: BLE001 (the user's class takes part)
        return 64


def _own_bytes(value: Any) -> int:
    held = getattr(value, "nbytes", None)
    return max(sys.getsizeof(value, 64), held if isinstance(held, int) else 0)


class Values:
    """The objects in ``Out`` of one shell, by number and token.

    Args:
        shell: The shell.
        limit_bytes: About how much ``Out`` may keep; None leaves the bound to IPython, which
            counts objects.
    """

    def __init__(self, shell: Any, limit_bytes: Optional[int] = None) -> None:  # noqa: UP045
        self._shell, self._limit_bytes = shell, limit_bytes
        self._sizes: Dict[int, int] = {}  # noqa: UP006
        self._birth = secrets.token_hex(4)
        self._resets = 0
        reset = shell.reset

        def reset_and_count(*args: Any, **options: Any) -> Any:
            self._resets += 1
            return reset(*args, **options)

        shell.reset = reset_and_count  # in IPython 9.18 nothing else empties Out

    @property
    def _out(self) -> dict[int, Any]:
        kept = self._shell.user_ns.get("_oh")
        return kept if isinstance(kept, dict) else {}

    @property
    def last_number(self) -> int:
        """The number of the command that has ended last."""
        return int(self._shell.execution_count) - 1

    def token(self, number: int) -> str:
        """Return the token with which this command's object is fetched; empty if there is none."""
        return f"{self._birth}.{self._resets}" if number in self._out else ""

    def bound(self, number: int) -> None:
        """Drop the oldest objects until the rest is within the limit; never the newest one."""
        if self._limit_bytes is None:
            return
        out = self._out
        if number in out:
            self._sizes[number] = about_bytes(out[number])
        self._sizes = {each: size for each, size in self._sizes.items() if each in out}
        total = sum(self._sizes.values())
        for oldest in sorted(self._sizes):
            if total <= self._limit_bytes or oldest == number:
                return
            total -= self._sizes.pop(oldest)
            value = out.pop(oldest)
            name = f"_{oldest}"
            if self._shell.user_ns.get(name) is value:
                del self._shell.user_ns[name]

    def get(self, number: int, token: str) -> Any:
        """Return the object of a command.

        Raises:
            LookupError: It is no longer there, or never was; the text says why.
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
        bound = f"some {self._shell.cache_size} objects"
        if self._limit_bytes is not None:
            bound += f" and {self._limit_bytes} bytes (Limits.out_bytes)"
        raise LookupError(f"IPython's Out has dropped it since, which keeps {bound}")
