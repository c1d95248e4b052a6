"""Replies to values: what each verb gives back, and its CompositeError when engines failed.

``decode`` says how, as plain data that travels with the request, so that another client can read
the same result later (``mec.pending_result(result_id)``). Runs in the thread that fetches the
result, because unpickling runs the user's code.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kernelfleet.client.controller_proxy import raise_if_refused
from kernelfleet.client.mapping.partition import join
from kernelfleet.client.results.outputs import OutputAggregator
from kernelfleet.client.results.replies import Part, Reply
from kernelfleet.errors.composite import (
    CompositeError,
    Failure,
    restore_error,
)
from kernelfleet.errors.tree import (
    EngineDied,
    EngineError,
    FleetError,
    FleetStopped,
    QueueCleared,
    SerializationError,
    UnsupportedOperation,
)
from kernelfleet.results import ExecutionResult, QueueEntry, ResultList
from kernelfleet.wire.objects.arrivals import is_foreign_class
from kernelfleet.wire.objects.serialize import unpack

if TYPE_CHECKING:
    from concurrent.futures import CancelledError  # noqa: F401

JsonDict = dict[str, Any]
#: Engine, number, and what the engine said that the object can be fetched with.
Fetch = Callable[[int, int, str], Any]

#: Errors the controller names itself.
_ENGINE_ERRORS: dict[str, type[FleetError]] = {
    "EngineError": EngineError,
    "QueueCleared": QueueCleared,
    "FleetStopped": FleetStopped,
    "UnsupportedOperation": UnsupportedOperation,
}


class Reader:
    """Decodes replies; ``fetch(engine_id, number, made)`` gets the object of a last expression."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def read(self, reply: Reply, decode: JsonDict) -> Any:
        """The value of a reply.

        Raises:
            CompositeError: it failed on one or more engines.
            FleetError: the controller did not take the request.
        """
        raise_if_refused(reply)
        if "results" not in reply.head:
            return reply.head.get("value")
        kind = decode["kind"]
        values: list[Any] = []
        failures: list[Failure] = []
        returns_exceptions = bool(decode.get("return_exceptions"))
        for part in reply.parts():
            result = part.result
            try:
                if result["ok"]:
                    values.append(getattr(self, f"_{kind}")(part, decode))
                    continue
                failures.append(self._failure(part))
            except Exception as error:  # noqa: BLE001 (the user's classes may raise anything)
                failures.append(Failure(result["id"], unreadable(result["id"], error)))
            values.append(_as_value(failures[-1]) if returns_exceptions else None)
        if failures and not returns_exceptions:
            failed = {failure.engine_id for failure in failures}
            ids = [result["id"] for result in reply.head["results"]]
            good = {i: v for i, v in zip(ids, values, strict=True) if i not in failed}
            raise CompositeError.collect(str(decode.get("method", kind)), failures, good)
        return self._assemble(kind, values, decode)

    def _failure(self, part: Part) -> Failure:
        result = part.result
        info = {**result["error"], "engine_id": result["id"]}
        traceback = [str(line) for line in info.get("traceback") or ()]
        return Failure(result["id"], engine_error(info, part.frames), traceback)

    # -- one target's result --------------------------------------------------------------------

    def _none(self, _part: Part, _decode: JsonDict) -> None:
        return None

    def _value(self, part: Part, _decode: JsonDict) -> Any:
        return part.result["value"]

    def _queue(self, part: Part, _decode: JsonDict) -> Any:
        engine_id, status, ids = part.result["value"]
        pending = status["pending"]
        return engine_id, {
            "queue": list(map(QueueEntry, status["queue"], ids["queue"])),
            "pending": None if pending is None else QueueEntry(pending, ids["pending"]),
        }

    def _keys(self, part: Part, _decode: JsonDict) -> Any:
        return part.result["keys"]

    def _apply(self, part: Part, _decode: JsonDict) -> Any:
        return unpack(part.frames)

    def _pull(self, part: Part, decode: JsonDict) -> Any:
        values = unpack(part.frames)
        return list(values) if len(decode["names"]) != 1 else values[0]

    _zip_pull = _gather = _peek = _pull

    def _execute(self, part: Part, decode: JsonDict) -> ExecutionResult:
        return self._execution(part.result, decode["code"], part.outputs, None)

    def _history(self, part: Part, _decode: JsonDict) -> ExecutionResult:
        record = part.result["value"]
        error = None
        if not record["ok"]:
            error = engine_error({**record["error"], "engine_id": record["id"]}, part.frames)
        return self._execution(record, record["code"], part.outputs, error)

    def _execution(
        self, record: JsonDict, code: str, folder: OutputAggregator, error: Exception | None
    ) -> ExecutionResult:
        engine_id, number, made = record["id"], record["number"], record.get("made", "")
        return ExecutionResult(
            engine_id,
            number,
            code,
            record.get("translated"),
            stdout=folder.stdout,
            stderr=folder.stderr,
            outputs=folder.outputs(),
            started=record.get("started"),
            completed=record.get("completed"),
            error=error,
            fetch=lambda: self._value_of(engine_id, number, made, folder),
        )

    def _value_of(self, engine_id: int, number: int, made: str, folder: OutputAggregator) -> Any:
        """The last expression's object; without one the command's value is None."""
        shown = any(each["output_type"] == "execute_result" for each in folder.outputs())
        return self._fetch(engine_id, number, made) if made or shown else None

    # -- all targets together -------------------------------------------------------------------

    def _assemble(self, kind: str, values: list[Any], decode: JsonDict) -> Any:
        if kind in ("execute", "history"):
            return ResultList(values)
        if kind == "gather":
            return join(values)
        if kind == "zip_pull":
            if len(decode["names"]) == 1:
                return [tuple(values)] if len(values) != 1 else values
            if len(values) == 1:
                return values[0]
            return [tuple(column) for column in zip(*values, strict=True)]
        return values


def tells_failure(reply: Reply) -> bool:
    """Whether the controller refused the request, or a target failed; decodes nothing."""
    return "refused" in reply.head or not all(r["ok"] for r in reply.head.get("results", ()))


def _as_value(failure: Failure) -> Exception:
    """The exception of a failed target, in the place of its value."""
    failure.note_traceback(failure.tag)
    return failure.exception


def engine_error(info: JsonDict, frames: Sequence[Any]) -> Exception:
    """The exception of a failed target, as its own type where that exists here."""
    ename, evalue = info.get("ename", ""), info.get("evalue", "")
    if info.get("kind") == "engine":
        if ename == "EngineDied":
            details = (info.get("exit_code"), info.get("signal"))
            return EngineDied(info["engine_id"], *details, how=evalue or None)
        if ename == "Cancelled":
            from concurrent.futures import CancelledError as Cancelled

            return Cancelled(evalue)
        if ename == "TimeoutError":
            return TimeoutError(evalue)
        return _ENGINE_ERRORS.get(ename, FleetError)(evalue)
    exception = None
    if frames and not ename.startswith(("KeyboardInterrupt", "SystemExit")):
        try:
            exception = unpack(frames)
        except Exception:  # noqa: BLE001 (a class that does not exist here, or cannot be rebuilt)
            exception = None
    if is_foreign_class(type(exception)):
        exception = None  # rebuilt from its pickle: nobody here can name it in an except clause
    if info.get("kind") == "serialization":
        if isinstance(exception, SerializationError | UnsupportedOperation):
            return exception
        refused = ename == "UnsupportedOperation"
        return UnsupportedOperation(evalue) if refused else SerializationError(evalue)
    if exception is None and not frames:
        exception = _builtin_error(ename, evalue)
    return restore_error(info, exception)


def _builtin_error(ename: str, evalue: str) -> Exception | None:
    """One of Python's own exceptions by its name and text: all that a kernel not ours tells."""
    kind = getattr(builtins, ename, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return None
    if kind is KeyError:
        try:
            return KeyError(ast.literal_eval(evalue))  # its text is the repr of its key
        except (ValueError, SyntaxError):
            return KeyError(evalue)
    try:
        error: Exception = kind(*[evalue] if evalue else [])
    except TypeError:
        return None  # UnicodeDecodeError and the like want to know more
    return error if str(error) == evalue else None


def error_of_item(described: JsonDict, engine: int) -> Exception:
    """The exception of one item of a map, from how ``run_batch`` describes it."""
    frames = described.get("exception")
    return engine_error({**described, "engine_id": engine}, list(frames or ()))


def unreadable(engine: int, error: Exception, what: str = "result") -> FleetError:
    """What came from an engine, and fails when it is unpickled in this process."""
    if isinstance(error, UnsupportedOperation):
        return error  # it is for another Python, and says so
    wrapped = SerializationError(
        f"the {what} of engine {engine} cannot be unpickled here: {type(error).__name__}: {error}"
    )
    wrapped.__cause__ = error
    return wrapped
