"""The headers of requests, checked once: what is not sound is refused before anything is done.

A header comes from whoever holds the fleet's key, so it may be anything that JSON can say. What
each verb needs stands in one table; whether an engine, a result or a label of that name exists
is for those to find out who do the work.

Pure: no sockets, no engines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kernelfleet.wire.json_safe import why_not_packable
from kernelfleet.wire.messages import JsonDict

#: A request naming more targets than this is a mistake.
MAX_TARGETS = 100_000
#: More seconds than any clock counts; an integer beyond it might be too large for a float.
MAX_SECONDS = 1e15


class BadRequest(ValueError):
    """A request that says something else than its verb needs; the text says what."""


class UnknownOperation(BadRequest):
    """A verb of another version, or of nobody's."""


@dataclass(frozen=True)
class Kind:
    """What a field may be, for the machine and in words."""

    words: str
    fits: Callable[[Any], bool]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(_is_int(each) and each >= 0 for each in value)


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_TARGETS and all(map(_is_int, value))


def _is_time(value: Any) -> bool:
    return (_is_int(value) or isinstance(value, float)) and 0 <= value <= MAX_SECONDS


def _or_none(kind: Kind) -> Kind:
    return Kind(f"{kind.words} or null", lambda value: value is None or kind.fits(value))


TEXT = Kind("text", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
INTEGER = Kind("an integer", _is_int)
SIZE = Kind("an integer from 0 on", lambda value: _is_int(value) and value >= 0)
TEXTS = Kind("a list of texts", _are_texts)
SIZES = Kind("a list of integers from 0 on", _are_sizes)
TARGETS = Kind(f"a list of engine ids, at most {MAX_TARGETS}", _are_ids)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
SECONDS = Kind("a number of seconds", _is_time)
ANYTHING = Kind("anything", lambda _: True)

#: In the header of every request.
COMMON: Mapping[str, Kind] = {"release": TEXTS, "decode": ANYTHING}
#: In the header of a request that goes through the engines' queues.
QUEUED: Mapping[str, Kind] = {
    "targets": TARGETS, "result_id": TEXT, "content": OBJECT, "payloads": SIZES, "assign": SIZES,
    "label": TEXT, "stream": FLAG, "keep": FLAG, "limit": _or_none(SECONDS),
    "imports": TEXT, "imports_text": TEXT,
}  # fmt: skip

#: What the content of a queued verb holds.
CONTENTS: Mapping[str, Mapping[str, Kind]] = {
    "execute": {
        "code": TEXT,
        "allow_stdin": FLAG,
        "store_history": FLAG,
        "script_path": TEXT,
        "argv": TEXTS,  # of a script: mec.run
    },
    "pull": {"names": TEXTS, "python": TEXT, "number": INTEGER, "made": TEXT},
    "apply": {"python": TEXT},
}

#: The fields of verbs beside the queues; all are needed but those of ``MAY_BE_MISSING``.
CALLS: Mapping[str, Mapping[str, Kind]] = {
    "ping": {},
    "engines": {},
    "queue_status": {"targets": TARGETS},
    "clear_queue": {"targets": TARGETS},
    "get_result": {"targets": TARGETS, "number": _or_none(INTEGER)},
    "cancel": {"result_id": TEXT, "interrupt": FLAG},
    "interrupt": {"targets": TARGETS},
    "restart": {"targets": TARGETS},
    "kill": {"targets": TARGETS},
    "scale": {"engines": ANYTHING},  # the call itself says what a fleet can be
    "attach": {"of": TEXT, "stream": FLAG},
    "progress": {"result_id": TEXT, "brief": FLAG},
    "locate": {"mark": TEXT},
    "peek": {"targets": TARGETS, "names": TEXTS},
    "names": {"targets": TARGETS},
    "complete": {"engine": INTEGER, "code": TEXT, "cursor_pos": SIZE},
    "inspect": {"engine": INTEGER, "code": TEXT, "cursor_pos": SIZE, "detail_level": SIZE},
    "input_reply": {"engine": INTEGER, "result_id": TEXT, "value": TEXT},
    "set_properties": {"targets": TARGETS, "values": OBJECT},
    "get_properties": {"targets": TARGETS, "keys": _or_none(TEXTS)},
    "has_properties": {"targets": TARGETS, "keys": TEXTS},
    "del_properties": {"targets": TARGETS, "keys": TEXTS},
    "clear_properties": {"targets": TARGETS},
    "shutdown": {},
}
MAY_BE_MISSING = frozenset({"number", "interrupt", "brief", "detail_level", "stream"})
MAY_BE_MISSING_OF = {("get_properties", "keys")}

#: Verbs that go through the engines' queues.
QUEUED_VERBS = frozenset({"execute", "push", "pull", "apply", "keys", "reset", "map", "task"})

#: By verb: what its fields may be, and which must be there.
_FIELDS: Mapping[str, tuple[Mapping[str, Kind], list[str]]] = {
    verb: ({**COMMON, **QUEUED}, ["result_id", "targets"]) for verb in QUEUED_VERBS
} | {
    verb: (
        {**COMMON, **fields},
        sorted(
            name
            for name in fields
            if name not in MAY_BE_MISSING and (verb, name) not in MAY_BE_MISSING_OF
        ),
    )
    for verb, fields in CALLS.items()
}
_CONTENT_FIELDS: Mapping[str, tuple[Mapping[str, Kind], list[str]]] = {
    "execute": (CONTENTS["execute"], ["code"]),
    "pull": (CONTENTS["pull"], ["names"]),
    "apply": (CONTENTS["apply"], []),
}


def check(header: JsonDict, n_buffers: int) -> str:
    """The verb of a request whose every field is sound.

    Args:
        header: As it came; it is an object, and ``type`` and ``n`` have been looked at.
        n_buffers: How many buffers came with it.

    Raises:
        UnknownOperation: there is no such verb.
        BadRequest: a field is missing or something else than the verb needs; the text names it.
    """
    problem = why_not_packable(header)
    if problem is not None:
        raise BadRequest(problem)
    kind, verb = header.get("type"), header.get("operation")
    if kind != "request":
        raise BadRequest(f"unknown message type {shown(kind)}")
    if not isinstance(verb, str) or (verb not in QUEUED_VERBS and verb not in CALLS):
        raise UnknownOperation(f"the controller knows no verb {shown(verb)}")
    _check_fields(header, *_FIELDS[verb])
    if verb in QUEUED_VERBS:
        if verb in CONTENTS:
            _check_fields(header.get("content", {}), *_CONTENT_FIELDS[verb], where="content.")
        _check_payloads(header, n_buffers)
    return verb


def _check_fields(
    fields: JsonDict, kinds: Mapping[str, Kind], needed: list[str], where: str = ""
) -> None:
    for name in needed:
        if name not in fields:
            raise BadRequest(f"{where}{name} is missing: {kinds[name].words} is needed")
    for name, value in fields.items():
        kind = kinds.get(name)
        if kind is not None and not kind.fits(value):
            raise BadRequest(f"{where}{name} must be {kind.words}, not {shown(value)}")


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
