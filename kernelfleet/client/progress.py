"""The bar of a call that takes long: engines or items done, elapsed time, who lags.

It appears after a second and goes when the call ends. Nothing here is imported or asked before
that, so short calls pay nothing. In a notebook the bar is text that is updated in place: the
widget of ``tqdm.auto`` would leave itself, frozen, in the saved notebook.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from kernelfleet.client.shell import display_file, is_notebook, running_shell, somebody_watches
from kernelfleet.error_text import format_ids

if TYPE_CHECKING:
    from kernelfleet.client.pending import PendingResult

SHOW_AFTER_SECONDS = 1.0
REFRESH_SECONDS = 0.25

#: Engines named as laggards, at most; more of them are just counted.
MAX_NAMED = 8

_FORMAT = "{desc}: {n_fmt}/{total_fmt} {unit} {bar:20} {elapsed}{postfix}"


class Switch:
    """What calls show where they do not say otherwise; ``%config KernelFleet``."""

    #: How far they are.
    on = True
    #: In IPython: what engines print, while they run.
    live = True


def watch(pending: PendingResult, timeout: float | None) -> None:
    """Wait for a call, and show how it gets on if it takes long. Returns when it ends, or late."""
    started = time.monotonic()
    first = SHOW_AFTER_SECONDS if timeout is None else min(SHOW_AFTER_SECONDS, timeout)
    if pending.wait(first) or first == timeout:
        return
    left = None if timeout is None else timeout - first
    if not (threading.current_thread() is threading.main_thread() and somebody_watches()):
        pending.wait(left)
        return
    deadline = None if left is None else time.monotonic() + left
    with _bar(pending.method, started) as bar:
        while not pending.wait(_patience(deadline)):
            if deadline is not None and time.monotonic() >= deadline:
                return
            _show(bar, pending.ask_progress())


def _patience(deadline: float | None) -> float:
    if deadline is None:
        return REFRESH_SECONDS
    return max(0.0, min(REFRESH_SECONDS, deadline - time.monotonic()))


def _bar(method: str, started: float) -> Any:
    shell = running_shell()
    options: dict[str, Any] = {"desc": method, "leave": False, "bar_format": _FORMAT, "total": 0}
    # Not tqdm.auto, which decides once per process, and in notebooks makes a widget that stays
    # frozen in the saved file.
    from tqdm.std import tqdm

    if is_notebook(shell):
        bar = tqdm(file=display_file(shell), ncols=80, ascii=False, **options)
    else:
        bar = tqdm(dynamic_ncols=True, **options)
    bar.start_t -= time.monotonic() - started
    return bar


def _show(bar: Any, progress: dict[str, Any] | None) -> None:
    if progress is None:
        return
    bar.total, bar.n = progress["total"], progress["done"]
    bar.unit = progress.get("unit", "engines")
    bar.set_postfix_str(laggards(progress), refresh=False)
    bar.refresh()


def bar_line(method: str, progress: dict[str, Any], elapsed: float) -> str:
    """The bar as a line of text, for where something else draws."""
    from tqdm.std import tqdm

    line = tqdm.format_meter(
        progress["done"], progress["total"], elapsed, prefix=method, ncols=80,
        unit=progress.get("unit", "engines"), bar_format=_FORMAT, postfix=laggards(progress),
    )  # fmt: skip
    return str(line).rstrip()


def laggards(progress: dict[str, Any]) -> str:
    """``waiting for 1,3``, once some are done; or nothing."""
    left = progress.get("left", ())
    if not left or not progress["done"] or len(left) > MAX_NAMED:
        return ""
    return f"waiting for {format_ids(left)}"
