"""Rows of large data: arrays to and from engines."""

from __future__ import annotations

from benchmarks import functions
from benchmarks.peers.base import Peer
from benchmarks.row import Row

LARGE = 100_000_000


def _push(peer: Peer, size: int) -> None:
    peer.push("big", functions.make_array_once(size))


def _sums(peer: Peer, _value: object, _size: int) -> object:
    """What arrived, by its sum on each engine."""
    if peer.name == "dask":
        return [functions.total(each) for each in peer.pull("big") * 4]
    peer.execute("from benchmarks.functions import total; big_sum = total(big)")
    return peer.pull("big_sum")


def _digest_of_all(_peer: Peer, values: list[object], _size: int) -> object:
    return [functions.total(each) for each in values]


def _clear(peer: Peer) -> None:
    """What the rows before have left must not fill the memory."""
    if peer.name != "dask":
        peer.execute("big = part = None")


ROWS = [
    Row(
        "push-big",
        "push a 100 MB array to 4",
        "s",
        _push,
        prepare=_clear,
        outcome=_sums,
        calls=3,
        warm_up=1,
        size=LARGE,
        goals={"": 0.1},
        limit="one copy into shared memory; engines map it and copy what they write",
    ),
    Row(
        "pull-big-4",
        "pull a 100 MB array from 4",
        "s",
        lambda peer, _: peer.pull("big"),
        prepare=lambda peer: peer.make_arrays("big", LARGE),
        outcome=_digest_of_all,
        calls=3,
        warm_up=1,
        goals={"": 0.3},
        limit="one copy into shared memory per engine, on the cores there are",
    ),
    Row(
        "pull-big-1",
        "pull a 100 MB array from one",
        "s",
        lambda peer, _: peer.pull_from_one("big"),
        prepare=lambda peer: peer.make_arrays("big", LARGE),
        calls=3,
        warm_up=1,
        goals={"": 0.15},
        limit="one copy into shared memory",
    ),
    Row(
        "scatter",
        "scatter a 100 MB array over 4",
        "s",
        lambda peer, size: peer.scatter("part", functions.make_array_once(size)),
        prepare=_clear,
        calls=3,
        warm_up=1,
        size=LARGE,
        goals={"": 0.1},
        limit="one copy into shared memory",
    ),
    Row(
        "gather",
        "gather 100 MB from 4",
        "s",
        lambda peer, _: peer.gather("part"),
        prepare=lambda peer: peer.make_arrays("part", LARGE // 4),
        calls=3,
        warm_up=1,
        goals={"": 0.15},
        limit="a copy into shared memory there, and one to join the parts here",
    ),
]


def push_of(size_bytes: int) -> Row:
    """For the plot: a push of this size."""
    return Row(
        f"push-{size_bytes}",
        f"push {size_bytes} bytes to 4",
        "s",
        _push,
        prepare=_clear,
        calls=20 if size_bytes < 10_000_000 else 3,
        warm_up=1,
        size=size_bytes,
    )


#: Sizes of the plot.
PLOT_SIZES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000]
