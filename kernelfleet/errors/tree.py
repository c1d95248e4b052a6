"""All exceptions of kernelfleet but CompositeError; ``kernelfleet.errors`` draws their tree.

Any process may import this module: it needs nothing but the texts in ``errors.text``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelfleet.errors.text import describe_death, named_text


class FleetError(Exception):
    """Base of everything kernelfleet raises, except CompositeError."""


class InvalidEngineID(FleetError, ValueError):
    """A call names an engine that does not exist, or is dead. Nothing was sent to any engine."""


class NoEnginesRegistered(FleetError):
    """A call is for all engines, and the fleet has none. Nothing was sent."""


class NotAPendingResult(FleetError, TypeError):
    """``barrier`` was given something that is not a PendingResult."""


class InvalidDeferredID(FleetError):
    """A result id is unknown: its result was flushed or dropped, or never existed."""


class InvalidProperty(FleetError, ValueError):
    """The value of an engine property cannot be written as JSON."""


class SerializationError(FleetError, TypeError):
    """A value cannot be pickled or unpickled, so it cannot be sent.

    Attributes:
        name: The variable that holds the value; None if it is in none, as an argument is.
    """

    def __init__(self, message: str, *, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class MessageTooLarge(FleetError, ValueError):
    """The data of one call is larger than the fleet accepts (``Limits.message_bytes``)."""


class ValueGone(FleetError, LookupError):
    """The object of a command's last expression is not on its engine any more.

    The text says why: the engine was restarted or reset, or IPython's ``Out`` has dropped it.
    """


class QueueFull(FleetError):
    """A request was refused, because too many wait for its engine (``Limits.queue_length``)."""


class UnsupportedOperation(FleetError):
    """What was asked for cannot be done by this kind of kernel, or with this kind of result."""


class CallTimeout(FleetError, TimeoutError):
    """A call has not ended within the ``timeout`` of its caller. The work goes on.

    Attributes:
        pending_result: The PendingResult of the call, which will have the result. None after
            pickling, because it belongs to the process that made the call.
        result_id: The id with which ``mec.pending_result(result_id)`` finds the result in any
            process; None for a map, which ends with its client.
    """

    def __init__(self, message: str, *, pending_result: Any = None) -> None:
        super().__init__(message)
        self.pending_result = pending_result
        self.result_id: str | None = getattr(pending_result, "result_id", None)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**self.__dict__, "pending_result": None}


class RemoteError(FleetError):
    """Stands for an exception of an engine that cannot, or must not, be raised here as itself.

    It cannot if its class does not exist here or cannot be unpickled. It must not if it is a
    KeyboardInterrupt or a SystemExit, which would end the caller.

    Attributes:
        ename: The name of the exception's class.
        evalue: Its text.
        remote_traceback: The engine's traceback as lines of text, coloured as IPython makes it;
            empty if there is none.
        engine_id: The engine; None if that is not known.

    Example:
        >>> error = RemoteError("SimulationError", "step 7 diverged", engine_id=2)
        >>> print(error)
        SimulationError: step 7 diverged
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
    """The code of a call never ran, or its engine went away; the code itself is not at fault."""


class EngineDied(EngineError):
    """The process of an engine has ended, by itself or by a signal.

    Attributes:
        engine_id: The engine; ``mec.restart(engine_id)`` starts it afresh.
        exit_code: Its exit code; None if it was ended by a signal, or nothing is known.
        signal: The number of the signal that ended it; None if none did, or nothing is known.
        how: In words how it ended.

    Example:
        >>> print(EngineDied(3, signal=9))
        engine 3 died: killed by signal 9 (SIGKILL), probably out of memory
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
    """The call was still waiting when its engine's queue was cleared.

    An error in an earlier command clears the queue, and so does ``mec.clear_queue()``.
    """


class FleetStopped(EngineError):
    """The fleet was stopped before the call had ended."""


class ControllerError(FleetError):
    """The controller has failed. This is a bug of kernelfleet and not of the caller."""


class ControllerUnreachable(ControllerError, ConnectionError):
    """The controller does not answer, or has ended.

    Attributes:
        result_id: The id of the result of the call that was waiting; None if no request was sent.
            If the request has arrived, ``mec.pending_result(result_id)`` finds the result once the
            controller answers again.
    """

    def __init__(self, message: str = "", *, result_id: str | None = None) -> None:
        super().__init__(message)
        self.result_id = result_id


class FleetExists(FleetError):
    """A fleet cannot be started, because one of the same name is running."""


class FleetNotFound(FleetError):
    """No fleet of the given name, or at the given address or connection file, is running."""


class SeveralFleets(FleetNotFound):
    """No name was given and several fleets are running, none of them called ``default``."""


class StartError(FleetError):
    """An engine or the controller could not be started."""


class InterruptUnheeded(UserWarning):
    """An interrupt has not ended what engines run, after a second; the text says what will."""


def error_text(exception: BaseException) -> str:
    """An exception in one line: ``ZeroDivisionError: division by zero``.

    A RemoteError is shown under the name that the exception has on its engine.
    """
    return str(exception) if isinstance(exception, RemoteError) else named_text(exception)


# Tracebacks and pickles name the classes by their public address.
for _class in [value for value in globals().values() if isinstance(value, type)]:
    if issubclass(_class, FleetError | InterruptUnheeded):
        _class.__module__ = "kernelfleet.errors"
