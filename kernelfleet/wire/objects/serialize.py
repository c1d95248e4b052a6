"""Objects to frames and back: cloudpickle, protocol 5, large buffers out of band.

``pack`` gives ``[pickle, buffer, buffer, ...]``; the frames travel as they are, so a large
array is never copied into a pickle. Only clients and engines call this module: the controller
routes the frames without looking into them.

Small buffers stay inside the pickle (10,000 tiny arrays must not become 10,000 frames), and so
do ``bytes``, ``bytearray`` and non-contiguous arrays, which protocol 5 does not take out.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from kernelfleet.errors.tree import (
    SerializationError,
    UnsupportedOperation,
)
from kernelfleet.wire.objects.arrivals import load
from kernelfleet.wire.objects.culprits import Pieces, explain
from kernelfleet.wire.objects.functions import FleetPickler
from kernelfleet.wire.objects.pythons import (
    NONE,
    OtherPythons,
    by_public_name,
)
from kernelfleet.wire.objects.shared_memory import (
    BLOCK_BYTES,
    SharedBuffer,
    frame_bytes,
)

Frame = bytes | bytearray | memoryview | SharedBuffer

#: Buffers below this size stay inside the pickle.
OUT_OF_BAND_BYTES = 64 * 1024


class _Pickler(FleetPickler):
    """Sends read-only arrays as if they could be written: the receiver gets one of its own."""

    def reducer_override(self, obj: Any) -> Any:
        """Reduce a read-only array through an alias; a read-only buffer would stay one."""
        if self.other_pythons and isinstance(obj, type):
            public = by_public_name(obj)
            if public is not None:
                return public
        numpy = sys.modules.get("numpy")
        if (
            numpy is not None
            and type(obj) is numpy.ndarray
            and not obj.flags.writeable
            and obj.flags.forc
            and not obj.dtype.hasobject
        ):
            return _writable_alias(numpy, obj).__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return super().reducer_override(obj)


class _Memory:
    """What numpy takes for an owner of bytes that may be written; keeps the real one alive."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__array_interface__ = {
            "version": 3,
            "data": (array.__array_interface__["data"][0], False),
            "shape": (array.nbytes,),
            "typestr": "|u1",
        }


def _writable_alias(numpy: Any, array: Any) -> Any:
    """An array on the same memory that says it is writable; to be read only."""
    memory = numpy.asarray(_Memory(array))
    order = "C" if array.flags.c_contiguous else "F"
    return numpy.ndarray(array.shape, array.dtype, buffer=memory, order=order)


def pack(
    obj: object,
    *,
    snapshot: bool = False,
    shared: bool = False,
    other_pythons: OtherPythons = NONE,
    pieces: Callable[[], Pieces] | None = None,
) -> list[Frame]:
    r"""Pickle ``obj`` into one frame and its large buffers into frames of their own.

    Args:
        obj: Anything cloudpickle can pickle.
        snapshot: Copy the large buffers, so that what is sent later is what they hold now.
            Without it the frames are views of the caller's memory.
        shared: Write buffers of 1 MiB and more into shared memory, as ``SharedBuffer``\ s. Where
        there
            is no memory for one it stays a frame.
        other_pythons: Who will load it and runs another Python.
        pieces: What it is made of in its caller's words, to name the one that cannot be pickled.

    Raises:
        SerializationError: ``obj`` cannot be pickled; the cause is chained.
        UnsupportedOperation: it holds code that the other Python cannot run.
    """
    buffers: list[Frame] = []

    def keep_small_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND_BYTES:
            return True
        block = _block_of(view) if shared else None
        buffers.append(block or (bytes(view) if snapshot else view))
        return False

    pickled = _dump(obj, keep_small_in_band, other_pythons, pieces)
    return [(_block_of(memoryview(pickled)) if shared else None) or pickled, *buffers]


def _dump(
    obj: object,
    keep_in_band: Callable[[pickle.PickleBuffer], bool],
    other_pythons: OtherPythons,
    pieces: Callable[[], Pieces] | None,
) -> bytes:
    stream = io.BytesIO()
    pickler = _Pickler(stream, keep_in_band)
    pickler.other_pythons = other_pythons
    try:
        pickler.dump(obj)
    except (SerializationError, UnsupportedOperation):
        raise  # it says already what cannot travel
    except Exception as error:
        raise SerializationError(explain(obj, error, _fails, pieces)) from error
    # The stream's own bytes, not a copy. Not `getbuffer`: CPython 3.13 complains on stderr when a
    # stream and a view of it are garbage of one cycle.
    return stream.getvalue()


class _Nowhere(io.RawIOBase):
    """Where a trial goes."""

    def write(self, data: Any) -> int:
        return len(data)


def _fails(obj: object) -> bool:
    """Whether an object cannot be pickled by itself."""
    try:
        _Pickler(_Nowhere(), lambda _: False).dump(obj)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - that is the question
        return True
    return False


def _block_of(view: memoryview) -> SharedBuffer | None:
    """The bytes as a block, if they are many and there is memory for them."""
    if view.nbytes < BLOCK_BYTES:
        return None
    try:
        return SharedBuffer.write(view)
    except OSError:
        return None


def pack_nested(
    obj: object,
    *,
    snapshot: bool = False,
    other_pythons: OtherPythons = NONE,
    pieces: Callable[[], Pieces] | None = None,
) -> list[pickle.PickleBuffer]:
    """Pack an object for inclusion in another pickle, whose buffers its buffers become."""
    buffers: list[pickle.PickleBuffer] = []

    def keep_small_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(pickle.PickleBuffer(bytearray(view)) if snapshot else buffer)
        return False

    # Never a PickleBuffer of a memoryview: when both are garbage of a cycle (a traceback will do),
    # clearing the view first makes the release of the buffer crash (seen in CPython 3.11).
    return [pickle.PickleBuffer(_dump(obj, keep_small_in_band, other_pythons, pieces)), *buffers]


def pack_namespace(
    namespace: Mapping[str, object],
    *,
    snapshot: bool = False,
    shared: bool = False,
    other_pythons: OtherPythons = NONE,
) -> list[Frame]:
    """Pack a dict of variables, and name the one that cannot be pickled.

    Objects that two variables share stay shared on the other side.

    Raises:
        SerializationError: with ``.name`` set to the first variable that cannot be pickled.
        UnsupportedOperation: one holds code that the other Python cannot run.
    """
    try:
        return pack(dict(namespace), snapshot=snapshot, shared=shared, other_pythons=other_pythons)
    except SerializationError as error:
        failed = error
    # Out of the except clause: a traceback would show every attempt as an error during another.
    for name, value in namespace.items():
        try:
            pack(value)
        except SerializationError as error:
            failed = SerializationError(f"{name!r}: {error}", name=name)
            failed.__cause__ = error.__cause__
            break
    raise failed


def unpack(frames: Sequence[Any]) -> Any:
    """Turn the frames of ``pack`` back into the object.

    Arrays are views of the frames' memory, writable where the frames are.

    Args:
        frames: Bytes-like objects, or frames of pyzmq, the pickle first.
    """
    return load(_bytes_like(frames[0]), [_writable(frame) for frame in frames[1:]])


def _bytes_like(frame: Any) -> bytes | bytearray | memoryview:
    """A frame as something pickle reads: pyzmq's Frame has its memory in ``.buffer``."""
    if isinstance(frame, SharedBuffer):
        return frame.map()
    return getattr(frame, "buffer", frame)  # type: ignore[no-any-return]


def _writable(frame: Any) -> bytearray | memoryview:
    """Memory the object may own and write to; read-only memory is copied once."""
    view = memoryview(_bytes_like(frame))
    return bytearray(view) if view.readonly else view


class EngineFunction:
    """Stands for a function of the engine's own modules where they must not be imported.

    Unpickling it, on an engine, gives the function.
    """

    def __init__(self, module: str, name: str) -> None:
        self._where = module, name

    def __reduce__(self) -> tuple[Any, ...]:
        return _import_function, self._where


def _import_function(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def total_bytes(frames: Sequence[Any]) -> int:
    """How many bytes the frames hold together."""
    return sum(map(frame_bytes, frames))
