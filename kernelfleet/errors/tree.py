"""The exceptions that are raised plain; what hangs below what is drawn in ``kernelfleet.errors``.

Any process may import this module: it needs nothing but texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelfleet.errors.text import describe_death, named_text


class FleetError(Exception):
    """Base of everything kernelfleet raises, except CompositeError."""


class InvalidEngineID(FleetError, ValueError):
    """The call names an engine that is not there; nothing was sent to any engine."""


class NoEnginesRegistered(FleetError):
    """The call says 'all', and the fleet has no engine."""


class NotAPendingResult(FleetError, TypeError):
    """``barrier`` was given something that is no PendingResult."""


class InvalidDeferredID(FleetError):
    """No such result: it was flushed, dropped from the history, or never existed."""


class InvalidProperty(FleetError, ValueError):
    """An engine property is not JSON."""


class SerializationError(FleetError, TypeError):
    """A value cannot travel; ``name`` is the variable that holds it, or None."""

    def __init__(self, message: str, *, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class MessageTooLarge(FleetError, ValueError):
    """The data of one call is more than the fleet takes (``Limits.message_bytes``)."""


class ValueGone(FleetError, LookupError):
    """The object of a command's last expression is not on its engine any more; it says why."""


class QueueFull(FleetError):
    """As many requests wait for an engine as may (``Limits.queue_length``); this one does not."""


class UnsupportedOperation(FleetError):
    """This kind of kernel, or of result, cannot do what was asked."""


class CallTimeout(FleetError, TimeoutError):
    """The caller's timeout ran out; the work goes on, and ``pending_result`` will have it.

    A pickled one forgets ``pending_result``, which belongs to this process, and keeps
    ``result_id``, with which ``mec.pending_result(result_id)`` finds it again.
    """

    def __init__(self, message: str, *, pending_result: Any = None) -> None:
        super().__init__(message)
        self.pending_result = pending_result
        self.result_id: str | None = getattr(pending_result, "result_id", None)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**self.__dict__, "pending_result": None}


class RemoteError(FleetError):
    """An error on an engine that has no class here, or must not be raised here as itself.

    The latter are KeyboardInterrupt and SystemExit: an engine's must not end the caller.
    """

    def __init__(
        self,
        ename: str,
        evalue: str = "",
        remote_traceback: Sequence[str] = (),
        engine_id: int | None = None,
    ) -> None:
        super().__init__(ename, evalue, list(remote_traceback), engine_id)
        self.ename = ename
        self.evalue = evalue
        self.remote_traceback = list(remote_traceback)
        self.engine_id = engine_id

    def __str__(self) -> str:
        return f"{self.ename}: {self.evalue}" if self.evalue else self.ename


class EngineError(FleetError):
    """Not an error of the user's code: it never ran, or its engine went away."""


class EngineDied(EngineError):
    """The engine's process ended, by itself or by a signal.

    ``how`` says it in words where the exit code and the signal do not.
    """

    def __init__(
        self,
        engine_id: int,
        exit_code: int | None = None,
        signal: int | None = None,
        how: str | None = None,
    ) -> None:
        super().__init__(engine_id, exit_code, signal, how)
        self.engine_id = engine_id
        self.exit_code = exit_code
        self.signal = signal
        self.how = how or describe_death(exit_code, signal)

    def __str__(self) -> str:
        return f"engine {self.engine_id} died: {self.how}"


class QueueCleared(EngineError):
    """The request was still queued when an error, or somebody, cleared the engine's queue."""


class FleetStopped(EngineError):
    """The fleet was stopped before the request had ended."""


class ControllerError(FleetError):
    """The controller failed to do what it must; a bug of kernelfleet, not of the caller."""


class ControllerUnreachable(ControllerError, ConnectionError):
    """The controller does not answer, or is gone.

    ``result_id`` is that of the call that waited, if its request was under way. Should it have
    arrived, ``mec.pending_result(result_id)`` finds the result when the controller answers again.
    """

    def __init__(self, message: str = "", *, result_id: str | None = None) -> None:
        super().__init__(message)
        self.result_id = result_id


class FleetExists(FleetError):
    """A fleet of this name runs already."""


class FleetNotFound(FleetError):
    """No fleet of this name, at this address or in this connection file."""


class SeveralFleets(FleetNotFound):
    """No name was given and several fleets are running, none of them called ``default``."""


class StartError(FleetError):
    """An engine or the controller did not come up."""


def error_text(exception: BaseException) -> str:
    """``ZeroDivisionError: division by zero``; a RemoteError under the name it has there."""
    return str(exception) if isinstance(exception, RemoteError) else named_text(exception)


# Users meet the classes under their public address, in tracebacks and in pickles.
for _class in [value for value in globals().values() if isinstance(value, type)]:
    if issubclass(_class, FleetError):
        _class.__module__ = "kernelfleet.errors"
