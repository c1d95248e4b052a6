"""Pickling exceptions with their attributes, their notes, and their causes.

pickle makes an exception again as ``type(error)(*error.args)``. If a class has an ``__init__`` of
its own, ``args`` are what that passed to ``super().__init__``, not what it takes, so the call fails
or makes another error than the one that was raised. Therefore an exception is taken apart here,
made again by the built-in class underneath without calling its ``__init__``, and given its
attributes. Classes that define themselves how they are pickled (``__reduce__`` and the like) are
left alone.

pickle also drops the causes of an exception. Here each cause travels *frozen*, which means pickled
by itself. If it cannot be pickled, or its class is missing at the receiver, a ``RemoteError`` takes
its place, and the rest still arrives.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import pickle
import sys
from collections.abc import Callable
from typing import Any

from kernelfleet.errors.text import text_of
from kernelfleet.errors.tree import RemoteError
from kernelfleet.wire.messages import JsonDict

Dump = Callable[[Any], bytes]

#: A frozen exception: the RemoteError that can take its place, and its pickle, if it has one.
FrozenError = tuple[RemoteError, bytes | None]

#: How many causes of an exception travel.
MAX_CAUSES = 20
#: Attributes of these types can be pickled for certain.
_PLAIN = (str, int, float, bool, bytes, type(None))


def reduce_exception(error: BaseException, dump: Dump, *, with_causes: bool = True) -> Any:
    """Return what a pickler's ``reducer_override`` returns for an exception.

    Args:
        error: The exception.
        dump: Pickles a value by itself, as that pickler does, and without causes.
        with_causes: Whether its causes travel with it.
    """
    parts = _taken_apart(error, dump)
    causes = _causes_of(error) if with_causes else []
    maker: Any
    if parts is not None:
        maker, arguments, state = _make, (type(error), parts[0]), parts[1]
    elif causes and (own := _own_way(error)) is not None:
        maker, arguments, state = own
    else:
        return NotImplemented
    frozen = [freeze_error(cause, dump) for cause in causes]
    return maker, arguments, (parts is not None, state, frozen), None, None, _restore


def _restore(error: BaseException, parts: tuple[bool, Any, list[FrozenError]]) -> None:
    """Give an exception that has been made its attributes and its causes."""
    ours, state, frozen = parts
    if ours:
        _set_attributes(error, state)
    elif state is not None:
        error.__setstate__(state)
    for each in frozen:
        BaseException.__setattr__(error, "__cause__", cause := thaw_error(each))
        error = cause


def _causes_of(error: BaseException) -> list[BaseException]:
    """Return the explicit causes (``raise ... from``), nearest first; a circle is cut."""
    causes: list[BaseException] = []
    known = {id(error)}
    cause = error.__cause__
    while cause is not None and id(cause) not in known and len(causes) < MAX_CAUSES:
        causes.append(cause)
        known.add(id(cause))
        cause = cause.__cause__
    return causes


# -- one by itself ------------------------------------------------------------------------------


def freeze_error(error: BaseException, dump: Dump | None = None) -> FrozenError:
    """Pickle an exception by itself, with a RemoteError that can take its place.

    Args:
        error: The exception.
        dump: Pickles it; None means with cloudpickle.
    """
    if isinstance(error, RemoteError):
        return error, None
    known = error.__dict__.get("remote_traceback", ()), error.__dict__.get("engine_id")
    substitute = RemoteError(type(error).__name__, text_of(error), *known)
    try:
        return substitute, (dump or _cloudpickled)(error)
    except Exception:  # noqa: BLE001 - whatever the user's class does when it is pickled
        return substitute, None


def thaw_error(frozen: FrozenError) -> Exception:
    """Undo ``freeze_error``. If the class is missing or does not load, return the RemoteError."""
    substitute, blob = frozen
    with contextlib.suppress(Exception):
        error = pickle.loads(blob) if blob else None
        if isinstance(error, Exception):
            return error
    return substitute


def _cloudpickled(value: Any) -> bytes:
    from cloudpickle import Pickler

    class ErrorPickler(Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, BaseException):
                reduced = reduce_exception(obj, _cloudpickled)
                if reduced is not NotImplemented:
                    return reduced
            return super().reducer_override(obj)

    stream = io.BytesIO()
    ErrorPickler(stream).dump(value)
    return stream.getvalue()


# -- taking apart and making --------------------------------------------------------------------


def _taken_apart(error: BaseException, dump: Dump) -> tuple[tuple[Any, ...], JsonDict] | None:
    """Return an exception's ``args`` and attributes; None if its class defines its pickling.

    An attribute that cannot be pickled is left out, and a note says so, because it must not keep
    the error itself from arriving.
    """
    if not _leaves_it_to_pickle(type(error)):
        return None
    reduced: Any = error.__reduce__()
    args: tuple[Any, ...] = reduced[1]
    kept = reduced[2] if len(reduced) > 2 else None
    attributes = {**(kept or {}), **_in_slots(error)}
    if isinstance(error, NameError | AttributeError) and isinstance(error.name, str):
        attributes["name"] = error.name  # not in __dict__; pickle drops it (Python 3.11)
    if isinstance(error, AttributeError):
        attributes.pop("obj", None)  # may be anything; Python 3.12 pickles it
    if _is_http_error(error):
        _close_response(attributes)
    lost = [name for name, value in attributes.items() if not _travels(value, dump)]
    for name in lost:
        del attributes[name]
    if lost:
        text = f"left behind, as it cannot be pickled: {', '.join(map(repr, lost))}"
        attributes["__notes__"] = [*attributes.get("__notes__", ()), text]
    return args, attributes


def _travels(value: Any, dump: Dump) -> bool:
    if type(value) in _PLAIN:
        return True
    try:
        dump(value)
    except Exception:  # noqa: BLE001 - the user's classes take part
        return False
    return True


def _leaves_it_to_pickle(cls: type) -> bool:
    """Tell whether a class does not define how its instances are pickled."""
    owner = getattr(cls.__reduce__, "__objclass__", None)
    return (
        owner is not None
        and owner.__module__ == "builtins"
        and cls.__reduce_ex__ is object.__dict__["__reduce_ex__"]
        and _registered_reducer(cls) is None
    )


def _registered_reducer(cls: type[BaseException]) -> Callable[[Any], Any] | None:
    """Return the reducer that is registered with ``copyreg`` for this class, but not tblib's.

    ``import distributed`` registers tblib's reducer for every exception class that exists. It
    pickles tracebacks, but loses what the built-in classes keep in C, such as a SyntaxError's line.
    """
    reducer = copyreg.dispatch_table.get(cls)
    if getattr(reducer, "__module__", "").partition(".")[0] == "tblib":
        return None
    return reducer


def _in_slots(error: BaseException) -> JsonDict:
    """Return the attributes in ``__slots__``, which pickling an exception drops."""
    if not any("__slots__" in vars(each) for each in type(error).__mro__):
        return {}
    names: list[str] = copyreg._slotnames(type(error))  # type: ignore[attr-defined]
    return {name: getattr(error, name) for name in names if hasattr(error, name)}


def _own_way(error: BaseException) -> tuple[Any, tuple[Any, ...], Any] | None:
    """Return what a class defines for its pickling, if causes can be added to that."""
    reducer = _registered_reducer(type(error))
    reduced = error.__reduce_ex__(5) if reducer is None else reducer(error)
    if not isinstance(reduced, tuple) or any(each is not None for each in reduced[3:]):
        return None
    return reduced[0], reduced[1], reduced[2] if len(reduced) > 2 else None


def _make(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Make an exception of this class with these ``args`` and no attributes yet."""
    base: Any = next(each for each in cls.__mro__ if each.__module__ == "builtins")
    try:
        error: BaseException = base.__new__(cls, *args)
        base.__init__(error, *args)  # sets fields in C: errno, lineno, ...
    except TypeError:  # a class of an extension, with its own memory layout
        error = cls(*args)
    return error


def _set_attributes(error: BaseException, attributes: JsonDict) -> None:
    if _is_http_error(error):
        _open_response(error, attributes)
    if type(error).__setstate__ is not BaseException.__setstate__:
        error.__setstate__(attributes)
        return
    for name, value in attributes.items():
        try:
            # The class's own __setattr__ may refuse (a frozen dataclass).
            BaseException.__setattr__(error, name, value)
        except AttributeError:  # the class has a property of that name
            error.__dict__[name] = value


def _is_http_error(error: BaseException) -> bool:
    module = sys.modules.get("urllib.error")
    return module is not None and isinstance(error, module.HTTPError)


def _close_response(attributes: JsonDict) -> None:
    """Drop the connection of an HTTPError, which is also the file of its response.

    A body that has been read into memory travels as ``fp``.
    """
    body = attributes.pop("fp", None)
    for name, value in list(attributes.items()):
        # Attributes of the tempfile wrapper under an HTTPError, and methods that it has cached.
        if name in ("file", "name", "delete", "_closer") or hasattr(value, "_closer"):
            del attributes[name]
    if isinstance(body, io.BytesIO) and not body.closed:
        attributes["fp"] = body.getbuffer()[body.tell() :].tobytes()
    else:
        text = "the response's body did not travel: read() it where it was received"
        attributes["__notes__"] = [*attributes.get("__notes__", ()), text]


def _open_response(error: Any, attributes: JsonDict) -> None:
    """Give an HTTPError a file: the body, or a closed file, which reading says."""
    from urllib.error import HTTPError

    content = attributes.pop("fp", None)
    body = io.BytesIO(content or b"")
    if content is None:
        body.close()
    known = (attributes.get(name) for name in ("url", "code", "msg", "hdrs"))
    init: Any = HTTPError.__init__
    init(error, *known, body)
