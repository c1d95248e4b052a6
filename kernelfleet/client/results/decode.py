"""Replies to values: what each verb gives back, and its CompositeError when engines failed.

``decode`` says how, as plain data that travels with the request, so that another client can read
the same result later (``mec.pending_result(result_id)``). Runs in the thread that fetches the
result, because unpickling runs the user's code.
"""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kernelfleet.client.controller_proxy import raise_if_refused
from kernelfleet.client.partition.blocks import join
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
    InterruptUnheeded,
    QueueCleared,
    SerializationError,
    UnsupportedOperation,
)
from kernelfleet.results import ExecutionResult, QueueEntry, ResultList
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.arrivals import is_foreign_class
from kernelfleet.wire.objects.serialize import unpack

if TYPE_CHECKING:
    from concurrent.futures import CancelledError  # noqa: F401

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

        Args:
            reply: What the controller has answered.
            decode: How it is read: ``kind`` names one of ``DECODERS``, ``method`` is the verb that
                error messages name; the other fields belong to the kind.

        Raises:
            CompositeError: it failed on one or more engines.
            FleetError: the controller did not take the request, or it was made by a version of
                kernelfleet whose results this one cannot read.
        """
        raise_if_refused(reply)
        if unheeded := reply.header.get("unheeded"):
            warnings.warn(str(unheeded), InterruptUnheeded, stacklevel=2)
        if "results" not in reply.header:
            return reply.header.get("value")
        decoder = DECODERS.get(decode.get("kind", ""))
        if decoder is None:
            raise FleetError(f"this version cannot read results of the kind {decode.get('kind')!r}")
        values: list[Any] = []
        failures: list[Failure] = []
        returns_exceptions = bool(decode.get("return_exceptions"))
        for part in reply.parts():
            result = part.result
            try:
                if result["ok"]:
                    values.append(decoder.one(part, decode, self._fetch))
                    continue
                failures.append(_failure(part))
            except Exception as error:  # noqa: BLE001 (the user's classes may raise anything)
                failures.append(Failure(result["id"], unreadable(result["id"], error)))
            values.append(_as_value(failures[-1]) if returns_exceptions else None)
        if failures and not returns_exceptions:
            failed = {failure.engine_id for failure in failures}
            ids = [result["id"] for result in reply.header["results"]]
            good = {i: v for i, v in zip(ids, values, strict=True) if i not in failed}
            raise CompositeError.collect(str(decode.get("method", decode["kind"])), failures, good)
        return decoder.together(values, decode)


def _failure(part: Part) -> Failure:
    result = part.result
    info = {**result["error"], "engine_id": result["id"]}
    traceback = [str(line) for line in info.get("traceback") or ()]
    return Failure(result["id"], engine_error(info, part.frames), traceback)


# -- one target's result ------------------------------------------------------------------------


def _none(_part: Part, _decode: JsonDict, _fetch: Fetch) -> None:
    return None


def _value(part: Part, _decode: JsonDict, _fetch: Fetch) -> Any:
    return part.result["value"]


def _queue(part: Part, _decode: JsonDict, _fetch: Fetch) -> Any:
    engine_id, status, ids = part.result["value"]
    pending = status["pending"]
    return engine_id, {
        "queue": list(map(QueueEntry, status["queue"], ids["queue"])),
        "pending": None if pending is None else QueueEntry(pending, ids["pending"]),
    }


def _keys(part: Part, _decode: JsonDict, _fetch: Fetch) -> Any:
    return part.result["keys"]


def _object(part: Part, _decode: JsonDict, _fetch: Fetch) -> Any:
    return unpack(part.frames)


def _variables(part: Part, decode: JsonDict, _fetch: Fetch) -> Any:
    values = unpack(part.frames)
    return list(values) if len(decode["names"]) != 1 else values[0]


def _execute(part: Part, decode: JsonDict, fetch: Fetch) -> ExecutionResult:
    return _execution(part.result, decode["code"], part.outputs, None, fetch)


def _history(part: Part, _decode: JsonDict, fetch: Fetch) -> ExecutionResult:
    record = part.result["value"]
    error = None
    if not record["ok"]:
        error = engine_error({**record["error"], "engine_id": record["id"]}, part.frames)
    return _execution(record, record["code"], part.outputs, error, fetch)


def _execution(
    record: JsonDict, code: str, outputs: OutputAggregator, error: Exception | None, fetch: Fetch
) -> ExecutionResult:
    engine_id, number, made = record["id"], record["number"], record.get("made", "")

    def value() -> Any:
        """The last expression's object; without one the command's value is None."""
        shown = any(each["output_type"] == "execute_result" for each in outputs.outputs())
        return fetch(engine_id, number, made) if made or shown else None

    return ExecutionResult(
        engine_id,
        number,
        code,
        record.get("translated"),
        stdout=outputs.stdout,
        stderr=outputs.stderr,
        outputs=outputs.outputs(),
        started=record.get("started"),
        completed=record.get("completed"),
        error=error,
        fetch=value,
    )


# -- all targets together -----------------------------------------------------------------------


def _as_they_are(values: list[Any], _decode: JsonDict) -> Any:
    return values


def _result_list(values: list[Any], _decode: JsonDict) -> Any:
    return ResultList(values)


def _joined(values: list[Any], decode: JsonDict) -> Any:
    return join(values, decode.get("axis", 0))


def _by_name(values: list[Any], decode: JsonDict) -> Any:
    """The values of each name as a tuple; from a single engine just its values."""
    if len(decode["names"]) == 1:
        return [tuple(values)] if len(values) != 1 else values
    if len(values) == 1:
        return values[0]
    return [tuple(column) for column in zip(*values, strict=True)]


@dataclass(frozen=True, slots=True)
class Decoder:
    """How the reply to one kind of request becomes a value.

    Attributes:
        one: Reads one target's part.
        together: Makes one value of those of all targets.
    """

    one: Callable[[Part, JsonDict, Fetch], Any]
    together: Callable[[list[Any], JsonDict], Any] = _as_they_are


#: The kinds of results that a request's ``decode`` may name.
DECODERS: Mapping[str, Decoder] = MappingProxyType(
    {
        "none": Decoder(_none),
        "value": Decoder(_value),
        "queue": Decoder(_queue),
        "keys": Decoder(_keys),
        "apply": Decoder(_object),
        "pull": Decoder(_variables),
        "peek": Decoder(_variables),
        "zip_pull": Decoder(_variables, _by_name),
        "gather": Decoder(_variables, _joined),
        "execute": Decoder(_execute, _result_list),
        "history": Decoder(_history, _result_list),
    }
)


def tells_failure(reply: Reply) -> bool:
    """Whether the controller refused the request, or a target failed; decodes nothing."""
    return "refused" in reply.header or not all(r["ok"] for r in reply.header.get("results", ()))


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
