"""What a field of a message may hold: for the type checker, for the machine, and in words.

A message is declared once, as a ``TypedDict`` (``messages/``). Its annotations are what mypy
reads; ``fields_of`` makes of the same annotations the checks that a message from elsewhere has to
pass and the words of the error and of ``docs/protocol.md``. Where a type says too little, as
``int`` of a size, the annotation carries a ``Check`` of its own.

Pure: no sockets, no clock.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

#: A request naming more targets than this is a mistake.
MAX_TARGETS = 100_000
#: More seconds than any clock counts; an integer beyond it might be too large for a float.
MAX_SECONDS = 1e15


@dataclass(frozen=True, slots=True)
class Check:
    """What a value must be, for the machine and in words."""

    words: str
    fits: Callable[[Any], bool]
    #: A type all of whose values fit: a value of it needs no call.
    of: type | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message."""

    check: Check
    required: bool


def is_int(value: object) -> bool:
    """Whether it is an integer; JSON's true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(is_int(each) and each >= 0 for each in value)


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_TARGETS and all(map(is_int, value))


def _are_comms(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) == 2 and is_int(each[0]) and isinstance(each[1], str)
        for each in value
    )


def _is_time(value: Any, most: float) -> bool:
    return (is_int(value) or isinstance(value, float)) and 0 <= value <= most


Size = Annotated[int, Check("an integer from 0 on", lambda value: is_int(value) and value >= 0)]
Sizes = Annotated[list[int], Check("a list of integers from 0 on", _are_sizes)]
Targets = Annotated[list[int], Check(f"a list of engine ids, at most {MAX_TARGETS}", _are_ids)]
Comms = Annotated[list[Any], Check("a list of pairs of an engine id and a comm id", _are_comms)]
Seconds = Annotated[float, Check("a number of seconds", lambda value: _is_time(value, MAX_SECONDS))]
#: Seconds since 1970, by the clock of the engine's machine.
Moment = Annotated[
    float,
    Check("seconds since 1970", lambda value: _is_time(value, math.inf) and value < math.inf),
]

#: What the types mean that need no check of their own.
_PLAIN: Mapping[Any, Check] = {
    str: Check("text", lambda value: isinstance(value, str), str),
    bool: Check("true or false", lambda value: isinstance(value, bool), bool),
    int: Check("an integer", is_int, int),
    float: Check("a number", lambda value: is_int(value) or isinstance(value, float), float),
    list[str]: Check("a list of texts", _are_texts),
    list[int]: Check("a list of integers", lambda v: isinstance(v, list) and all(map(is_int, v))),
    dict[str, str]: Check(
        "an object of texts",
        lambda value: isinstance(value, dict) and _are_texts(list(value.values())),
    ),
    dict[str, Any]: Check("an object", lambda value: isinstance(value, dict), dict),
    Any: Check("anything", lambda _: True),
}


def _check_of(annotation: Any) -> Check:
    if get_origin(annotation) is Annotated:
        found = [each for each in annotation.__metadata__ if isinstance(each, Check)]
        return found[0]
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if is_typeddict(annotation):
        return Check(f"a {annotation.__name__}", lambda value: has_fields(annotation, value))
    if get_origin(annotation) is list:
        item = get_args(annotation)[0]
        each = _check_of(item)
        words = item.__name__ if is_typeddict(item) else each.words
        return Check(
            f"a list, each {words}",
            lambda value: isinstance(value, list) and all(map(each.fits, value)),
        )
    wanted = [each for each in get_args(annotation) if each is not type(None)]
    if len(wanted) != 1 or len(get_args(annotation)) != 2:
        raise TypeError(f"no check is known for {annotation}: annotate it with one")
    inner = _check_of(wanted[0])
    return Check(
        f"{inner.words} or null", lambda value: value is None or inner.fits(value), inner.of
    )


@cache
def fields_of(message: type) -> Mapping[str, Field]:
    """The fields of a message that is declared as a ``TypedDict``, in the order of declaration.

    Raises:
        TypeError: an annotation has no check, and none can be made of its type.
    """
    found: dict[str, Field] = {}
    for name, annotation in get_type_hints(message, include_extras=True).items():
        origin: Any = get_origin(annotation)
        optional = origin is NotRequired
        inner = get_args(annotation)[0] if optional else annotation
        found[name] = Field(_check_of(inner), required=not optional)
    return found


def has_fields(message: type, value: Any) -> bool:
    """Whether a value is an object that has the fields of a message; it may have others."""
    return isinstance(value, dict) and all(
        field.check.fits(value[name]) if name in value else not field.required
        for name, field in fields_of(message).items()
    )
