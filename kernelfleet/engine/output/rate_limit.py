"""How much one request may publish: so much at once, and so much a second in the long run.

Output has no back-pressure: a loop that prints without end would fill the memory of the engine,
of the controller and of every client that looks on, and keep the controller from other work. What
is beyond the limit is left out, and the reader is told; the program itself goes on. One that
prints a little for days never comes near it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_BYTES = 16 * 1024 * 1024
#: Of the limit, what comes back in a second, and what must have come back before output goes on.
REFILL, REOPEN = 1 / 256, 1 / 16
#: Requests whose account is remembered: threads may print for one that has ended long ago.
REMEMBERED = 256


@dataclass
class _Account:
    left: float
    seen: float
    closed: bool = False


class OutputRateLimit:
    """The accounts of the latest requests; cheap enough for each ``write``.

    Threads may share one: what they publish at the same moment may exceed the limit by as much.
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
        """As much of a text as may be published now, with a note where it is cut."""
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
        """Whether a message of this size may be published now; a refused one costs nothing."""
        account = self._account(request)
        if account.closed or size > account.left:
            return False
        account.left -= size
        return True

    def note(self, what: str) -> str:
        """The words for the reader."""
        mib = self.limit_bytes / 2**20
        return (
            f"[kernelfleet leaves out {what}: a command may put out {mib:g} MiB, "
            f"and {mib * REFILL * 60:.3g} MiB a minute]"
        )


def _cut(text: str, size: int) -> str:
    """The first so many bytes of a text, in whole characters."""
    if text.isascii():
        return text[:size]
    return text.encode(errors="surrogatepass")[:size].decode(errors="ignore")
