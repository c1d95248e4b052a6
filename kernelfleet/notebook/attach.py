"""Calls that run on engines: ``%result`` names them, and ``%fleet attach`` follows one.

In a fleet that is a daemon, the work that a notebook has started with ``--noblock`` goes on when
the notebook's kernel is restarted. Its result id is found here, and its output is shown below the
cell that attaches to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from kernelfleet.client import access
from kernelfleet.display.tables import cut, since
from kernelfleet.errors.text import format_ids

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.notebook.running import View
    from kernelfleet.results import EngineInfo


def running_on(client: MultiEngineClient, ids: Iterable[int]) -> list[list[EngineInfo]]:
    """The engines that run something, grouped by the call that they work for.

    Args:
        client: The client whose fleet is asked.
        ids: Engines that count; others are left out.
    """
    wanted = set(ids)
    calls: dict[tuple[str | None, str], list[EngineInfo]] = {}
    for engine in client.engines():
        if engine.id in wanted and engine.running is not None:
            calls.setdefault((engine.result_id, engine.running), []).append(engine)
    return list(calls.values())


def line_of(engines: list[EngineInfo]) -> str:
    """A call that runs, in one line: ``[0-1] still runs execute('f()') for 5 s; ...``.

    Args:
        engines: The engines that work for it.
    """
    first = engines[0]
    where = format_ids(engine.id for engine in engines)
    begun = min((each.running_since for each in engines if each.running_since), default=None)
    text = f"[{where}] still runs {cut(str(first.running))} for {since(begun)}"
    if first.result_id is None:
        return text
    return f"{text}; `%fleet attach {first.result_id}` shows its output"


def choose(client: MultiEngineClient, result_id: str | None) -> str | None:
    """The id of the call to follow.

    Args:
        client: The client whose targets are looked at.
        result_id: The id that the user has named; None chooses the only call that runs.

    Returns:
        The id; None if no call runs that can be followed.

    Raises:
        UsageError: Several calls run, and the user has named none of them.
    """
    if result_id is not None:
        return result_id
    ids = access.resolve_targets(client)
    calls = [each for each in running_on(client, ids) if each[0].result_id]
    if len(calls) > 1:
        lines = "\n".join(map(line_of, calls))
        raise UsageError(f"%fleet attach: several calls run, name one of them\n{lines}")
    return calls[0][0].result_id if calls else None


def follow(client: MultiEngineClient, result_id: str, view: View) -> Any:
    """Show the output of a call until it ends, and return its value.

    Ctrl-C ends only the following. The work goes on, because others may wait for it.
    """
    pending = access.attach(client, result_id, view.feed)
    try:
        return access.follow(pending, view.follow)
    except KeyboardInterrupt as interrupt:
        interrupt.pending_result = pending  # type: ignore[attr-defined]
        interrupt.add_note(
            f"the work goes on: `%fleet attach {result_id}` follows it again, "
            f"mec.pending_result({result_id!r}) is its result, mec.interrupt() stops it"
        )
        raise
    finally:
        view.finish(pending)
