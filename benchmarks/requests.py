"""Rows of small requests: how long a cell or a small value takes."""

# mypy: allow-untyped-calls

from __future__ import annotations

from benchmarks import functions
from benchmarks.row import Row


def _load_a() -> object:
    """``a``, from the engine's namespace or from what stands for it."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
    except ImportError:
        shell = None
    return functions.NAMESPACE["a"] if shell is None else shell.user_ns["a"]


ROWS = [
    Row(
        "execute-4",
        "`execute('a=5')` on 4 engines",
        "ms",
        lambda peer, _: peer.execute("a=5"),
        outcome=lambda peer, _, __: None if peer.name == "raw" else peer.apply(_load_a)[:4],
        goals={"ipyparallel": 0.5, "raw": 1.0},
        limit="IPython's `run_cell`, four times on the cores there are",
    ),
    Row(
        "execute-1",
        "`execute('a=5')` on one engine",
        "ms",
        lambda peer, _: peer.execute_on_one("a=5"),
        goals={"ipyparallel": 0.45, "raw": 1.0},
        limit="IPython's `run_cell`, then event-loop and thread wake-ups",
    ),
    Row(
        "push-4",
        "push a small value to 4",
        "ms",
        lambda peer, _: peer.push("b", 5),
        outcome=lambda peer, _, __: peer.pull("b"),
        goals={"ipyparallel": 0.35, "dask": 1.0},
        limit="event-loop and thread wake-ups on both sides",
    ),
    Row(
        "pull-4",
        "pull a small value from 4",
        "ms",
        lambda peer, _: peer.pull("b"),
        prepare=lambda peer: peer.push("b", 6),
        goals={"ipyparallel": 0.35, "dask": 1.0},
        limit="event-loop and thread wake-ups on both sides",
    ),
    Row(
        "apply-4",
        "apply a small function on 4",
        "ms",
        lambda peer, _: peer.apply(functions.increment, 5),
        goals={"ipyparallel": 0.35, "dask": 1.0},
        limit="event-loop and thread wake-ups on both sides",
    ),
    Row(
        "stream-1",
        "1,000 non-blocking executes on one engine",
        "/s",
        lambda peer, size: peer.execute_many("a=5", size),
        calls=1,
        warm_up=0,
        size=1000,
        goals={"ipyparallel": 1.5},
        limit="one engine's Python: `run_cell` and what is around it",
    ),
    Row(
        "submit",
        "one task: submit and wait",
        "ms",
        lambda peer, _: peer.submit(functions.increment, 5),
        limit="two threads' hand-over here, the engine's event loop there",
    ),
    Row(
        "submit-1000",
        "1,000 tasks: submit all, wait for all",
        "/s",
        lambda peer, size: peer.submit_many(functions.increment, range(size)),
        calls=1,
        size=1000,
        limit="this process's Python, once per task",
    ),
]
