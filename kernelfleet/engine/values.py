"""The object of a command's last expression: fetched from the life that made it, or not at all.

IPython keeps these objects in ``Out``, by the command's number. But ``Out`` drops old ones, a reset
empties it and begins to count anew, and so does a restart: what stands under a number later may be
another command's object. So whoever gets a command's result gets a token with it, and shows that
when it fetches the object.

Runs in kernels that are not ours as well, whose Python may be older.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any, Dict, Optional  # noqa: UP035 (an older Python may evaluate them)

#: So many items of a container are looked at; the others are taken to be like these.
LOOKED_AT = 1000


def about_bytes(value: Any) -> int:
    """About how much memory an object takes: itself, its array's data, its items."""
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
    """What ``Out`` of one shell has, by number and token.

    Args:
        shell: The shell.
        limit_bytes: What ``Out`` may keep, about; None leaves it to IPython.
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

    def bound(self, number: int) -> None:
        """Drop the oldest objects, if there are too many bytes of them; never the last one."""
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
        bound = f"some {self._shell.cache_size} objects"
        if self._limit_bytes is not None:
            bound += f" and {self._limit_bytes} bytes (Limits.out_bytes)"
        raise LookupError(f"IPython's Out has dropped it since, which keeps {bound}")
