"""Requests, checked once: what is not sound is refused before anything is done.

A header comes from whoever holds the fleet's key, so it may be anything that JSON can say. What
each operation needs stands in one table (``wire/operations.py``); whether an engine, a result or a
label of that name exists is for those to find out who do the work.

Pure: no sockets, no engines.
"""

from __future__ import annotations

from typing import Any

from kernelfleet.wire.fields import fields_of
from kernelfleet.wire.json_safe import why_not_packable
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import OPERATIONS, Operation


class BadRequest(ValueError):
    """A request that says something else than its operation needs; the text says what."""


class UnknownOperation(BadRequest):
    """A word of another version, or of nobody's."""


def check(header: JsonDict, n_buffers: int) -> Operation:
    """The operation of a request whose every field is sound.

    Args:
        header: As it came; it is an object, and ``type`` and ``n`` have been looked at.
        n_buffers: How many buffers came with it.

    Raises:
        UnknownOperation: there is no such operation.
        BadRequest: a field is missing or something else than the operation needs; the text names
            it.
    """
    problem = why_not_packable(header)
    if problem is not None:
        raise BadRequest(problem)
    kind, name = header.get("type"), header.get("operation")
    if kind != "request":
        raise BadRequest(f"unknown message type {shown(kind)}")
    operation = OPERATIONS.get(name) if isinstance(name, str) else None
    if operation is None:
        raise UnknownOperation(f"the controller knows no operation {shown(name)}")
    _check_fields(header, operation.request)
    if operation.queued:
        _check_fields(header.get("content", {}), operation.content, where="content.")
        _check_payloads(header, n_buffers)
    return operation


def _check_fields(given: JsonDict, message: type, where: str = "") -> None:
    fields = fields_of(message)
    for name, field in fields.items():
        if name in given:
            value = given[name]
            if type(value) is not field.check.of and not field.check.fits(value):
                text = f"must be {field.check.words}, not {shown(value)}"
                raise BadRequest(f"{where}{name} {text}")
        elif field.required:
            raise BadRequest(f"{where}{name} is missing: {field.check.words} is needed")


def _check_payloads(header: JsonDict, n_buffers: int) -> None:
    sizes, assign = header.get("payloads", []), header.get("assign", [])
    if sum(sizes) != n_buffers:
        raise BadRequest(f"payloads are of {sum(sizes)} buffers, and {n_buffers} came")
    if assign and len(assign) != len(header["targets"]):
        raise BadRequest(f"{len(header['targets'])} targets, but {len(assign)} in assign")
    if assign and max(assign) >= max(1, len(sizes)):
        raise BadRequest(f"assign names payload {max(assign)} of {len(sizes)}")


def shown(value: Any, width: int = 60) -> str:
    """A value for an error's text: short, whatever it is."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**width:
        return "an integer of many digits"
    text = ascii(value[:width]) if isinstance(value, str) else repr(value)
    return text if len(text) <= width else text[:width] + "..."
