"""Errors as JSON: which status they have, and what the reader is to do next."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelfleet.server.shapes import Problem

#: By the name of an exception (so that its module need not be loaded): the status and the remedy.
_KNOWN: dict[str, tuple[HTTPStatus, str]] = {
    "BadBody": (HTTPStatus.BAD_REQUEST, "See docs/rest.md for the fields of this request."),
    "ValueError": (HTTPStatus.BAD_REQUEST, "Correct the value, and send the request again."),
    "TypeError": (HTTPStatus.BAD_REQUEST, "Correct the value, and send the request again."),
    "FleetNotFound": (
        HTTPStatus.NOT_FOUND,
        "Start a fleet of that name, or choose one of the list.",
    ),
    "InvalidEngineID": (HTTPStatus.NOT_FOUND, "Choose one of the engines of the list."),
    "NoEnginesRegistered": (HTTPStatus.CONFLICT, "Scale the fleet, or restart its engines."),
    "FleetExists": (HTTPStatus.CONFLICT, "Choose another name, or stop that fleet first."),
    "StartError": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Look into the log of the engine; correct the kernel, its environment or its folder.",
    ),
    "ControllerUnreachable": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Wait until the process that has the fleet is free again, or stop the fleet.",
    ),
    "TimeoutError": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Wait until the process that has the fleet is free again, or end that process.",
    ),
    "FleetStopped": (HTTPStatus.CONFLICT, "The fleet has ended; start another one."),
    "ExternalKernelsOff": (
        HTTPStatus.CONFLICT,
        "Start it with --ServerApp.allow_external_kernels=True, or write "
        "c.ServerApp.allow_external_kernels = True into jupyter_server_config.py. "
        "In a terminal, `jupyter console --existing` with the engine's connection file opens it.",
    ),
    "EngineCannotBeOpened": (HTTPStatus.CONFLICT, "Restart the engine, or choose another one."),
    "UnsupportedOperation": (HTTPStatus.CONFLICT, "Its kernel cannot do this."),
}
_UNKNOWN = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "The log of Jupyter Server has the traceback; please report it.",
)


class BadBody(ValueError):
    """A request's body is not what it should be."""


def status_of(error: BaseException) -> HTTPStatus:
    """The status of the answer that reports an exception."""
    return _entry(error)[0]


def is_expected(error: BaseException) -> bool:
    """Whether an exception says something about the request or the fleet, and not about a bug."""
    return _entry(error) is not _UNKNOWN


def problem(error: BaseException) -> Problem:
    """An exception as JSON."""
    message = str(error) or type(error).__name__
    return {"message": message, "reason": type(error).__name__, "remedy": _entry(error)[1]}


def _entry(error: BaseException) -> tuple[HTTPStatus, str]:
    for kind in type(error).__mro__:
        if kind.__name__ in _KNOWN:
            return _KNOWN[kind.__name__]
    return _UNKNOWN


def remedy_of_status(status: int) -> str:
    """What to do about an error of Jupyter Server itself."""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return (
            "Log in to this Jupyter Server, or send its token; requests with a login cookie also "
            "need its XSRF cookie in the header X-XSRFToken."
        )
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return "See docs/rest.md for what this path takes."
    return _UNKNOWN[1]
