"""joblib: parallel maps, balanced in batches that grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from joblib import Parallel, delayed

from benchmarks import functions
from benchmarks.peers.base import Peer


class JoblibPeer(Peer):
    name = "joblib"

    def start(self, n: int) -> None:
        self.parallel = Parallel(n_jobs=n)
        self.parallel.__enter__()
        self.map(functions.work, [0.02] * n)

    def stop(self) -> None:
        from joblib.externals.loky import get_reusable_executor

        self.parallel.__exit__(None, None, None)
        get_reusable_executor().shutdown()

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        found: list[Any] = self.parallel(delayed(function)(item) for item in items)
        return found


def make() -> Peer:
    return JoblibPeer()
