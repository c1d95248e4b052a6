"""What front ends may do with a client beyond its public methods.

The notebook side and the command line use these functions, and no private attribute of a client.
What a user's program needs is a method of ``MultiEngineClient`` instead. (They are no methods,
because each public method of a client is offered by Tab completion.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kernelfleet.client.verbs.code import label_of

if TYPE_CHECKING:
    from kernelfleet.client.base import BaseClient, Watch
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.controller_proxy import OnOutput
    from kernelfleet.client.results.pending import PendingResult
    from kernelfleet.client.targets import Targets


def fleet_name(client: BaseClient) -> str:
    """The name of the client's fleet; ``?`` if the controller has not reported it."""
    return str(client._connection.fleet.get("name", "?"))


def is_open(client: BaseClient) -> bool:
    """Whether the client has a controller: it was not closed, and its fleet has not ended."""
    return client._connection.is_open


def is_over(client: BaseClient) -> bool:
    """Whether the client will never work again: it was closed, or its fleet has ended."""
    return client._connection.is_over


def engine_ids(client: BaseClient) -> list[int]:
    """The ids of the registered engines, ascending, as the controller last reported them.

    Nothing is asked, so this is quick; ``get_ids`` asks the controller.
    """
    return list(client._connection.roster.ids)


def dead_engine_ids(client: BaseClient) -> list[int]:
    """The ids of the engines that have died and were not restarted, ascending."""
    return sorted(client._connection.roster.dead)


def engine_log(client: MultiEngineClient, engine: int, lines: int, timeout: float) -> str:
    """The end of an engine's log, wherever the engine runs.

    Args:
        client: The client.
        engine: The id of the engine, which may be dead.
        lines: How many lines at most.
        timeout: How long the controller may take to answer, in seconds.

    Raises:
        FleetError: there is no such engine, or its node is lost.
    """
    asked = client._connection.call("log", timeout, engine=engine, lines=lines)
    return str(asked.header["value"])


def ask_log(client: MultiEngineClient, engine: int, lines: int) -> PendingResult[str]:
    """Ask for the end of an engine's log, wherever the engine runs, without waiting.

    Args:
        client: The client.
        engine: The id of the engine, which may be dead.
        lines: How many lines at most.
    """
    return client._ask_controller("log", str, engine=engine, lines=lines)


def ask_timeline(client: MultiEngineClient, since: int) -> PendingResult[dict[str, Any]]:
    """Ask what the engines have worked on, without waiting.

    Args:
        client: The client.
        since: The ``mark`` of the last answer; 0 asks for everything that is kept.

    Returns:
        What the controller will answer: ``spans`` that have ended since, ``running`` ones,
        ``mark``, whether there are ``more``, and the controller's ``instance``; a new one numbers
        its spans afresh.
    """
    return client._ask_controller("timeline", lambda value: value, since=since)


def refused_peers(client: BaseClient, timeout: float) -> dict[str, Any]:
    """What the controller has refused since it was started: connections and messages without a key.

    Args:
        client: The client.
        timeout: Seconds that the controller may take to answer.
    """
    refused: dict[str, Any] = (
        client._connection.call("ping", timeout).header["value"].get("refused", {})
    )
    return refused


def resolve_targets(
    client: BaseClient, targets: Targets | None = None, *, allow_dead: bool = False
) -> list[int]:
    """The ids of the engines that a call with these targets goes to.

    Args:
        client: The client.
        targets: As for every call; None takes the client's.
        allow_dead: Whether engines that have died may be named, as for ``restart``.

    Raises:
        InvalidEngineID: An engine is not there.
        NoEnginesRegistered: The targets are 'all', and there is no engine.
    """
    return client._resolve(targets, allow_dead=allow_dead)


def start_code(
    client: MultiEngineClient,
    code: str,
    targets: list[int],
    on_output: OnOutput | None,
    *,
    allow_stdin: bool,
) -> PendingResult[Any]:
    """Send a cell to engines without waiting for it.

    Args:
        client: The client.
        code: The cell.
        targets: The ids of the engines.
        on_output: Called with each output message, on kernelfleet's own thread; may be None.
        allow_stdin: Whether the code may ask for input, which comes as an ``input_request``
            message and is answered by ``answer_input``.
    """
    content = {"code": code, "allow_stdin": allow_stdin}
    return client._start_code(content, label_of(code), targets, on_output)


def start_script(
    client: MultiEngineClient, code: str, path: str, argv: Sequence[str], on_output: OnOutput
) -> PendingResult[Any]:
    """Send the code of a script to the client's targets without waiting for it.

    Args:
        client: The client.
        code: The script's text.
        path: What its ``__file__`` is.
        argv: What it finds in ``sys.argv``.
        on_output: Called with each output message, on kernelfleet's own thread.
    """
    pending: PendingResult[Any] = client._run_script(
        code, path, argv, block=False, on_output=on_output
    )
    return pending


def wait(
    client: BaseClient,
    pending: PendingResult[Any],
    timeout: float | None,
    watch: Watch | None = None,
) -> Any:
    """Wait for a call as a blocking call does: Ctrl-C interrupts the engines that work for it.

    Args:
        client: The client that made the call.
        pending: The call.
        timeout: Seconds to wait; None means no limit.
        watch: Waits in the place of this function, with the call and the timeout as arguments,
            and may show the call meanwhile.

    Returns:
        The value of the call.

    Raises:
        CompositeError: It failed on one or more engines.
        CallTimeout: ``timeout`` expired; the work goes on.
    """
    return client._wait(pending, timeout, watch)


def follow(pending: PendingResult[Any], watch: Watch) -> Any:
    """Wait for a call that others may wait for as well: Ctrl-C ends the waiting, not the work.

    Args:
        pending: The call.
        watch: Waits, with the call and None as arguments, and may show the call meanwhile.

    Returns:
        The value of the call.
    """
    return pending._watched(watch, None)


def ask_progress(pending: PendingResult[Any]) -> dict[str, Any] | None:
    """Ask how far a call is: ``done``, ``total``, ``left``, ``begun``; None where nobody can say.

    ``unit`` is there as well if what is counted are not engines.
    """
    return pending._ask_progress()


def attach(client: MultiEngineClient, result_id: str, on_output: OnOutput) -> PendingResult[Any]:
    """The result of a call that anybody has started, with its outputs.

    Args:
        client: The client.
        result_id: The id of the result.
        on_output: Called with each output message that the call has made, and makes from now on.
    """
    return client._attach(result_id, on_output)


def ask_about_code(
    client: BaseClient, operation: str, timeout: float, *, engine: int, code: str, cursor_pos: int,
    **fields: Any,
) -> dict[str, Any] | None:  # fmt: skip
    """Have an idle engine complete or inspect code.

    Args:
        client: The client.
        operation: ``complete`` or ``inspect``.
        timeout: Seconds to wait for the answer.
        engine: The id of the engine.
        code: The code.
        cursor_pos: How many characters of it stand before the cursor.
        fields: Further fields of the request: ``detail_level`` for ``inspect``.

    Returns:
        The content of the engine's Jupyter reply; None if the engine is busy.

    Raises:
        TimeoutError: There was no answer in time.
        FleetError: The engine is not there, or its controller does not answer.
    """
    reply = client._connection.call(
        operation, timeout, engine=engine, code=code, cursor_pos=cursor_pos, **fields
    )
    value: dict[str, Any] | None = reply.header["value"]
    return value


def answer_input(
    client: BaseClient, pending: PendingResult[Any], engine: int, value: str, timeout: float
) -> None:
    """Give an engine what the user has typed.

    Args:
        client: The client.
        pending: The call whose code has asked.
        engine: The id of the engine that it has asked on.
        value: What was typed.
        timeout: Seconds that the controller may take to pass it on.
    """
    client._connection.call(
        "input_reply", timeout, engine=engine, result_id=pending.result_id, value=value
    )
