"""What ``targets``, ``block`` and ``timeout`` mean. Pure: nothing here asks the controller.

``check_targets`` checks the form alone, when the attribute is assigned. ``resolve`` gives the ids
of the engines that a call goes to, when it is made: 'all' and slices are resolved only then.
``parse_targets`` reads targets that were typed, in a magic or on the command line: ``all``, ``0``,
``0,2``, ``1:4``, ``::2``, ``-1:``. Nothing is evaluated: whatever is no number, no slice and not
``all`` is refused.
"""

from __future__ import annotations

import math
import numbers
import operator
import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, SupportsIndex

from kernelfleet.errors.text import format_ids
from kernelfleet.errors.tree import InvalidEngineID, NoEnginesRegistered

#: What a caller may say; numpy's integers and arrays of them count as well.
Targets = str | SupportsIndex | slice | Sequence[SupportsIndex]

#: The same, checked: 'all', an id, ids in the order given, or a slice.
CheckedTargets = str | int | slice | list[int]

_VALID = "targets must be 'all', an engine id, a sequence of engine ids, a slice or a range"

#: The names of the bools of Python and numpy (``bool_`` in numpy 1). Until numpy 2.2 numpy's
#: can still be used as an index, with a DeprecationWarning.
_BOOLS = ("bool", "bool_")
_NONE_DEAD: Mapping[int, str] = MappingProxyType({})

_NUMBER = re.compile(r"-?\d+")
_SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(-?\d+)?)?")

GRAMMAR = "targets are all, 0, 0,2, 1:4, ::2, -1: and the like"


def check_targets(targets: object) -> CheckedTargets:
    """The targets in a form of our own, which no change to the caller's list reaches.

    Raises:
        InvalidEngineID: A string other than 'all', or a negative id.
        ValueError: Any other type.
    """
    if isinstance(targets, str):
        if targets != "all":
            raise InvalidEngineID(f"no engine {targets!r}: {_VALID}")
        return "all"
    if isinstance(targets, slice):
        return _checked_slice(targets)
    if not isinstance(targets, int) and _is_sequence(targets):  # (the first look is the quick one)
        assert isinstance(targets, Iterable)
        return [_engine_id(each) for each in targets]
    return _engine_id(targets)


def resolve(
    targets: object,
    ids: Iterable[int],
    dead: Mapping[int, str] = _NONE_DEAD,
    *,
    allow_dead: bool = False,
) -> list[int]:
    """The engines a call goes to.

    Args:
        targets: What the caller said. A slice picks from the registered engines in id order.
        ids: The registered engines.
        dead: Engines that died, and how: ``{1: "killed by signal 9 (SIGKILL)"}``.
        allow_dead: They may be named, and 'all' is with them: for ``restart``.

    Returns:
        Ids in the order given, as often as given; in id order for 'all', a slice.

    Raises:
        InvalidEngineID: An engine that is not there, a negative id, a string other than 'all'.
        NoEnginesRegistered: 'all', and there is none.
        ValueError: ``targets`` is of another type.
    """
    registered = sorted({*ids, *dead}) if allow_dead else sorted(ids)
    checked = check_targets(targets)
    if isinstance(checked, slice):
        return registered[checked]
    if isinstance(checked, str):
        if not registered:
            raise NoEnginesRegistered(_no_engines(dead))
        return registered
    wanted = checked if isinstance(checked, list) else [checked]
    for each in wanted:
        if each not in registered:
            raise InvalidEngineID(_missing(each, registered, dead))
    return wanted


def parse_targets(text: str, ids: Sequence[int]) -> str | int | slice | list[int]:
    """Targets that were typed, in the form that a client takes.

    Args:
        text: What was typed.
        ids: The registered engines, for ``-1`` and for slices between commas.

    Raises:
        ValueError: The text is none of the forms that are known.
    """
    parts = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    if len(parts) == 1:
        return _part(parts[0], text)
    chosen: list[int] = []
    for part in parts:
        target = _part(part, text)
        if isinstance(target, str):
            chosen.extend(ids)
        elif isinstance(target, slice):
            chosen.extend(sorted(ids)[target])
        else:
            chosen.append(target)
    return chosen


def _part(part: str, text: str) -> str | int | slice:
    if part == "all":
        return "all"
    if _NUMBER.fullmatch(part):
        number = int(part)
        if number >= 0:
            return number
        return slice(number, number + 1 or None)
    match = _SLICE.fullmatch(part)
    if match is None or match.group(3) == "0":
        raise ValueError(f"{text!r}: {GRAMMAR}")
    return slice(*(int(each) if each else None for each in match.groups()))


def as_text(targets: object) -> str:
    """Targets as they are typed: ``all``, ``[0, 2]``, ``1:4``."""
    if not isinstance(targets, slice):
        return str(targets)
    parts = [targets.start, targets.stop] + ([targets.step] if targets.step is not None else [])
    return ":".join("" if part is None else str(part) for part in parts)


def check_block(block: object, name: str = "block") -> bool:
    """``block`` (or another switch), if it is a bool.

    Raises:
        ValueError: It is anything else; 0 and 1 are likely to be targets in the wrong place.
    """
    if not isinstance(block, bool):
        raise ValueError(f"{name} must be True or False, not {block!r}")
    return block


def check_timeout(timeout: object, name: str = "timeout") -> float | None:
    """``timeout`` if it is a number of seconds from 0 on, or None for no limit.

    For a call that is about to be made: a negative number is a mistake (elsewhere -1 is no limit),
    and nothing is sent.

    Raises:
        TypeError: It is something else.
        ValueError: It is negative, or no number (nan).
    """
    seconds = time_left(timeout, name)
    if seconds is not None and float(timeout) < 0:  # type: ignore[arg-type]
        raise ValueError(f"{name} is 0 seconds or more, or None for no limit, not {timeout!r}")
    return seconds


def check_count(n: Any, low: int, rule: str) -> int:
    """``n`` if it is a whole number from ``low`` on.

    Raises:
        TypeError: It is no whole number; the message is the rule.
        ValueError: It is too small, or a bool; likewise.
    """
    if not hasattr(n, "__index__"):
        raise TypeError(f"{rule}, not {n!r}")
    if isinstance(n, bool) or (number := operator.index(n)) < low:
        raise ValueError(f"{rule}, not {n!r}")
    return number


def time_left(timeout: object, name: str = "timeout") -> float | None:
    """How long to wait for what is under way already; None is no limit.

    A negative number is 0: what is left of somebody's deadline that has passed. Either is a look
    that does not wait, as with the futures of the standard library.

    Raises:
        TypeError: It is something else.
        ValueError: It is no number (nan).
    """
    if timeout is None:
        return None
    # An abstract class takes long to ask, and nearly always it is a float.
    if isinstance(timeout, bool) or not isinstance(timeout, float | numbers.Real):
        raise TypeError(f"{name} is a number of seconds, or None, not {timeout!r}")
    seconds = float(timeout)
    if math.isnan(seconds):
        raise ValueError(f"{name} is a number of seconds, or None, not {timeout!r}")
    return max(0.0, seconds)


def _engine_id(value: Any) -> int:
    if isinstance(value, str):
        raise InvalidEngineID(f"no engine {value!r}: {_VALID}")
    try:
        if type(value).__name__ in _BOOLS:
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{_VALID}, not {value!r}") from None
    if number < 0:
        raise InvalidEngineID(f"no engine {number}: engine ids start at 0")
    return number


def _checked_slice(targets: slice) -> slice:
    try:
        targets.indices(0)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_VALID}, not {targets!r}: {error}") from None
    return targets


def _is_sequence(targets: object) -> bool:
    """A list, tuple, range or array: ordered, with a length, and not made of bytes."""
    if isinstance(targets, bytes | bytearray | memoryview | Mapping | AbstractSet):
        return False
    if isinstance(targets, Sequence):
        return True
    # Arrays are no Sequence; one without dimensions is a number.
    ordered = isinstance(targets, Sized) and hasattr(targets, "__getitem__")
    return ordered and getattr(targets, "ndim", 1) == 1


def _missing(engine_id: int, registered: Sequence[int], dead: Mapping[int, str]) -> str:
    if engine_id in dead:
        return (
            f"engine {engine_id} died: {dead[engine_id]}; mec.restart({engine_id}) brings it back"
        )
    if not registered:
        return f"no engine {engine_id}: {_no_engines(dead)}"
    return f"no engine {engine_id}: the engines are {format_ids(registered)}"


def _no_engines(dead: Mapping[int, str]) -> str:
    if not dead:
        return "the fleet has no engines; mec.scale(n) adds some"
    return (
        f"the fleet has no engines left: {format_ids(dead)} died; "
        f"mec.restart({sorted(dead)}) brings them back"
    )
