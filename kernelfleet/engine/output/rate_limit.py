"""A token bucket for the output of each request: a number of bytes at once, and a rate for more.

A loop that prints without end would fill the memory of every client that shows its output, and the
notebook with it. Output beyond the limit is left out, and a note says so; the program goes on. A
program that prints a little for days never reaches the limit.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_BYTES = 16 * 1024 * 1024
#: The share of the limit that is refilled per second, and the share that must be available before
#: output resumes after it was cut.
REFILL, REOPEN = 1 / 256, 1 / 16
#: How many requests' accounts are kept: threads may still print for a request that has ended.
REMEMBERED = 256


@dataclass
class _Account:
    left: float
    seen: float
    closed: bool = False


class OutputRateLimit:
    """The buckets of the latest requests, cheap enough to be asked at each ``write``.

    There is no lock: what several threads publish at the same moment may exceed the limit by that
    much.
    """

    def __init__(
        self, limit_bytes: int = DEFAULT_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit_bytes = limit_bytes
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def _account(self, request: str) -> _Account:
        now = self._clock()
        account = self._accounts.get(request)
        if account is None:
            account = self._accounts[request] = _Account(self.limit_bytes, now)
            if len(self._accounts) > REMEMBERED:
                self._accounts.popitem(last=False)
        refill = (now - account.seen) * self.limit_bytes * REFILL
        account.left, account.seen = min(self.limit_bytes, account.left + refill), now
        if account.closed and account.left >= self.limit_bytes * REOPEN:
            account.closed = False
        return account

    def text(self, request: str, text: str) -> str:
        """Return as much of a text as may be published now, with a note where it is cut."""
        account = self._account(request)
        if account.closed:
            return ""
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        if size <= account.left:
            account.left -= size
            return text
        kept = _cut(text, int(account.left))
        account.left, account.closed = 0.0, True
        return f"{kept}\n{self.note('what is printed now')}\n"

    def admits(self, request: str, size: int) -> bool:
        """Tell whether a message of this size may be published now. If so, it is charged."""
        account = self._account(request)
        if account.closed or size > account.left:
            return False
        account.left -= size
        return True

    def note(self, what: str) -> str:
        """Say what is left out and what the limit is."""
        mib = self.limit_bytes / 2**20
        return (
            f"[kernelfleet leaves out {what}: a command may put out {mib:g} MiB, "
            f"and {mib * REFILL * 60:.3g} MiB a minute]"
        )


def _cut(text: str, size: int) -> str:
    """Return the first ``size`` bytes of a text, without cutting a character."""
    if text.isascii():
        return text[:size]
    return text.encode(errors="surrogatepass")[:size].decode(errors="ignore")
