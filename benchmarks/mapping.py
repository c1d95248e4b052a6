"""Rows of parallel map."""

from __future__ import annotations

from benchmarks import functions
from benchmarks.peers.base import Peer
from benchmarks.row import Row

ITEMS = 20_000
#: One item a message: 20,000 would take a minute or more.
FEWER = {"ipyparallel": 1_000, "dask": 2_000}
UNEVEN = [2.0] + [0.1] * 60


def _all_incremented(_peer: Peer, values: object, size: int) -> object:
    return values == list(range(1, size + 1))


ROWS = [
    Row(
        "map",
        "`map` of 20,000 trivial items, no tuning",
        "/s",
        lambda peer, size: peer.map(functions.increment, range(size)),
        outcome=_all_incremented,
        calls=1,
        warm_up=1,
        size=ITEMS,
        sizes=FEWER,
        goals={"": 50_000},
        limit="this process's Python: it makes, packs and sorts in every item",
    ),
    Row(
        "map-evenly",
        "`map` of 20,000 trivial items, dealt out beforehand",
        "/s",
        lambda peer, size: peer.map_evenly(functions.increment, range(size)),
        outcome=_all_incremented,
        calls=3,
        warm_up=1,
        size=ITEMS,
        limit="this process's Python: every item is still watched over",
    ),
    Row(
        "map-uneven",
        "`map` of one 2 s and sixty 0.1 s sleeps",
        "s",
        lambda peer, _: peer.map(functions.work, UNEVEN),
        calls=1,
        warm_up=0,
        rounds=3,
        goals={"": 2.2},
        limit="the work itself: 2.0 s is the least possible",
    ),
]
