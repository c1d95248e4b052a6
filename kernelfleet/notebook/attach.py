"""Calls that run on engines: ``%result`` names them, and ``%fleet attach`` follows one.

In a fleet that is a daemon, the work that a notebook has started with ``--noblock`` goes on when
the notebook's kernel is restarted. Its result id is found here, and its output is shown below the
cell that attaches to it.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
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


def console(client: MultiEngineClient, engine_id: int, *, in_terminal: bool) -> None:
    """Open a console on an engine; where there is no terminal, say how one is opened.

    Args:
        client: A client of the fleet.
        engine_id: The engine.
        in_terminal: Whether the shell has a terminal, which the console uses until it is ended.

    Raises:
        UsageError: There is no such engine, it does not run, or nothing to open a console with.
    """
    engine = next((each for each in client.engines() if each.id == engine_id), None)
    if engine is None or engine.connection_file is None:
        there = "not there" if engine is None else engine.state
        raise UsageError(f"%fleet attach: engine {engine_id} is {there}")
    command = ["-m", "jupyter_console", "--existing", engine.connection_file, "--no-confirm-exit"]
    if not in_terminal:
        print(  # noqa: T201 (what magics do)
            f"A console on engine {engine_id}, in a terminal of {engine.host or 'this machine'}:\n"
            f"  jupyter console --existing {shlex.quote(engine.connection_file)}"
        )
        return
    if find_spec("jupyter_console") is None:
        raise UsageError(
            "%fleet attach: a console needs jupyter_console, which is not installed here: "
            "`pip install jupyter-console`"
        )
    # Ctrl-C is for the console: it must not end the wait for it here. (A handler, because the
    # console would inherit that the signal is ignored.)
    handler = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        subprocess.call([sys.executable, "-P", *command])
    finally:
        signal.signal(signal.SIGINT, handler)


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
