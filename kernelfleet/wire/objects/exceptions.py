"""Exceptions on their way: as themselves, with attributes, notes, and what caused them.

Pickle rebuilds an exception as ``type(error)(*error.args)``. Where a class has an ``__init__`` of
its own, ``args`` are what it gave to ``super().__init__``, not what it takes, so that the call
fails, or makes another error than the one that was raised. So an exception is *taken apart* here,
and *made* again from the built-in class underneath, without a call of its ``__init__``; then its
attributes are *restored*. A class that says itself how it is pickled (``__reduce__`` and the like)
is left alone.

Pickle also leaves behind what caused an exception. Each cause comes along, *frozen*: pickled by
itself, so that one that cannot travel, or has no class where it arrives, is stood in for by a
``RemoteError`` and spoils nothing else.
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

#: An exception as it travels: what stands in for it, and its pickle if it has one.
FrozenError = tuple[RemoteError, bytes | None]

#: Causes of causes that travel; nobody reads a longer chain.
MAX_CAUSES = 20
#: Attributes of these kinds travel for certain: nobody need try.
_PLAIN = (str, int, float, bool, bytes, type(None))


def reduce_exception(error: BaseException, dump: Dump, *, with_causes: bool = True) -> Any:
    """What a pickler's ``reducer_override`` returns for an exception.

    Args:
        error: The exception.
        dump: Pickles a value by itself, as that pickler would, and without causes.
        with_causes: Whether its causes come along.
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
    """Give an exception that was made its attributes and its causes."""
    ours, state, frozen = parts
    if ours:
        _set_attributes(error, state)
    elif state is not None:
        error.__setstate__(state)
    for each in frozen:
        BaseException.__setattr__(error, "__cause__", cause := thaw_error(each))
        error = cause


def _causes_of(error: BaseException) -> list[BaseException]:
    """The explicit causes (``raise ... from``), nearest first; a circle is cut."""
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
    """Pickle an exception by itself, so that one that cannot travel spoils nothing else.

    The RemoteError beside it takes its place where it does not load.

    Args:
        error: The exception.
        dump: How to pickle it; None is cloudpickle's way.
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
    """Undo ``freeze_error``; where the class is missing or does not load: a RemoteError."""
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
    """An exception's ``args`` and its attributes; None where its class sees to its pickling itself.

    An attribute that cannot be pickled is left behind, and a note says so: it must not keep the
    error itself from arriving.
    """
    if not _leaves_it_to_pickle(type(error)):
        return None
    reduced: Any = error.__reduce__()
    args: tuple[Any, ...] = reduced[1]
    kept = reduced[2] if len(reduced) > 2 else None
    attributes = {**(kept or {}), **_in_slots(error)}
    if isinstance(error, NameError | AttributeError) and isinstance(error.name, str):
        attributes["name"] = error.name  # in no dict, and forgotten by pickle (Python 3.11)
    if isinstance(error, AttributeError):
        attributes.pop("obj", None)  # whatever the attribute was asked of (Python 3.12)
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
    """Whether a class says nothing of how its instances are pickled."""
    owner = getattr(cls.__reduce__, "__objclass__", None)
    return (
        owner is not None
        and owner.__module__ == "builtins"
        and cls.__reduce_ex__ is object.__dict__["__reduce_ex__"]
        and _registered_reducer(cls) is None
    )


def _registered_reducer(cls: type[BaseException]) -> Callable[[Any], Any] | None:
    """What ``copyreg`` was told for this class, by somebody who knows the class.

    ``import distributed`` registers tblib's reducer for every exception class there is. It pickles
    tracebacks, but does not keep what the built-in classes hold in C (a SyntaxError's line), so it
    does not count.
    """
    reducer = copyreg.dispatch_table.get(cls)
    if getattr(reducer, "__module__", "").partition(".")[0] == "tblib":
        return None
    return reducer


def _in_slots(error: BaseException) -> JsonDict:
    """What a class keeps in ``__slots__``, which an exception's pickle leaves out."""
    if not any("__slots__" in vars(each) for each in type(error).__mro__):
        return {}
    names: list[str] = copyreg._slotnames(type(error))  # type: ignore[attr-defined]
    return {name: getattr(error, name) for name in names if hasattr(error, name)}


def _own_way(error: BaseException) -> tuple[Any, tuple[Any, ...], Any] | None:
    """How a class says that it is pickled, where that leaves room for causes."""
    reducer = _registered_reducer(type(error))
    reduced = error.__reduce_ex__(5) if reducer is None else reducer(error)
    if not isinstance(reduced, tuple) or any(each is not None for each in reduced[3:]):
        return None
    return reduced[0], reduced[1], reduced[2] if len(reduced) > 2 else None


def _make(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An exception of this class with these ``args`` and no attributes yet."""
    base: Any = next(each for each in cls.__mro__ if each.__module__ == "builtins")
    try:
        error: BaseException = base.__new__(cls, *args)
        base.__init__(error, *args)  # sets what the built-in class keeps in C: errno, lineno, ...
    except TypeError:  # an extension's class, with a memory layout of its own
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
            # Not the class's own __setattr__, which may forbid it (a frozen dataclass).
            BaseException.__setattr__(error, name, value)
        except AttributeError:  # what is a property by now
            error.__dict__[name] = value


def _is_http_error(error: BaseException) -> bool:
    module = sys.modules.get("urllib.error")
    return module is not None and isinstance(error, module.HTTPError)


def _close_response(attributes: JsonDict) -> None:
    """Keep what an HTTPError knows, without the connection: it is the response's file as well.

    A body that has been read into memory comes along, under ``fp``.
    """
    body = attributes.pop("fp", None)
    for name, value in list(attributes.items()):
        # The rest of a tempfile's wrapper, and the methods that it caches when they are used.
        if name in ("file", "name", "delete", "_closer") or hasattr(value, "_closer"):
            del attributes[name]
    if isinstance(body, io.BytesIO) and not body.closed:
        attributes["fp"] = body.getbuffer()[body.tell() :].tobytes()
    else:
        text = "the response's body did not travel: read() it where it was received"
        attributes["__notes__"] = [*attributes.get("__notes__", ()), text]


def _open_response(error: Any, attributes: JsonDict) -> None:
    """Give an HTTPError its file again: the body, or a closed one, whose reading says so."""
    from urllib.error import HTTPError

    content = attributes.pop("fp", None)
    body = io.BytesIO(content or b"")
    if content is None:
        body.close()
    known = (attributes.get(name) for name in ("url", "code", "msg", "hdrs"))
    init: Any = HTTPError.__init__
    init(error, *known, body)
