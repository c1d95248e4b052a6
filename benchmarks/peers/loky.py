"""loky: a pool of workers that pickles by value, as ProcessPoolExecutor otherwise."""

from __future__ import annotations

from joblib.externals.loky import ProcessPoolExecutor

from benchmarks import functions
from benchmarks.peers.base import Peer
from benchmarks.peers.processes import PoolPeer


class LokyPeer(PoolPeer):
    name = "loky"

    def start(self, n: int) -> None:
        self.n = n
        self.pool = ProcessPoolExecutor(n)
        list(self.pool.map(functions.work, [0.02] * n))


def make() -> Peer:
    return LokyPeer()
