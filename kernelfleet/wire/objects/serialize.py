"""Objects to frames and back: cloudpickle with protocol 5, large buffers out of band.

``pack`` returns ``[pickle, buffer, buffer, ...]``. The frames travel as they are, so a large array
is never copied into a pickle. Only clients and engines call this module: the controller routes
the frames without looking into them.

Small buffers stay inside the pickle, because 10,000 tiny arrays must not become 10,000 frames. So
do ``bytes``, ``bytearray`` and non-contiguous arrays, for which protocol 5 makes no buffers.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from mmap import mmap
from typing import Any

from kernelfleet.errors.tree import (
    SerializationError,
    UnsupportedOperation,
)
from kernelfleet.wire.buffers.frames import frame_bytes
from kernelfleet.wire.buffers.mapped_files import FileRange, map_ranges
from kernelfleet.wire.buffers.mappings import file_ranges
from kernelfleet.wire.buffers.shared_memory import SHARED_BYTES, SharedBuffer
from kernelfleet.wire.objects.arrays import ArrayReducer, Maps
from kernelfleet.wire.objects.arrivals import load
from kernelfleet.wire.objects.culprits import Pieces, explain
from kernelfleet.wire.objects.functions import FleetPickler
from kernelfleet.wire.objects.pythons import (
    NONE,
    OtherPythons,
    by_public_name,
)

Frame = bytes | bytearray | memoryview | SharedBuffer

#: Buffers below this size stay inside the pickle.
OUT_OF_BAND_BYTES = 64 * 1024


class _Pickler(FleetPickler):
    """Sends read-only arrays as writable ones: the receiver gets memory of its own."""

    #: What becomes of arrays that are mapped from a file for reading.
    maps = Maps.COPIED
    _arrays: ArrayReducer | None = None

    def reducer_override(self, obj: Any) -> Any:
        """Reduce arrays, and types that the other Python has elsewhere."""
        if self.other_pythons and isinstance(obj, type):
            public = by_public_name(obj)
            if public is not None:
                return public
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(obj, numpy.ndarray):
            if self._arrays is None:
                self._arrays = ArrayReducer(self.maps)
            reduced = self._arrays.reduce(obj)
            if reduced is not NotImplemented:
                return reduced
        return super().reducer_override(obj)


def pack(
    obj: object,
    *,
    snapshot: bool = False,
    shared: bool = False,
    maps: Maps = Maps.COPIED,
    other_pythons: OtherPythons = NONE,
    pieces: Callable[[], Pieces] | None = None,
) -> list[Frame]:
    r"""Pickle ``obj`` into one frame and its large buffers into frames of their own.

    Args:
        obj: Anything cloudpickle can pickle.
        snapshot: Copy the large buffers, so that what is sent later is what they hold now.
            Without it the frames are views of the caller's memory.
        shared: Write buffers of 1 MiB and more into shared memory, as ``SharedBuffer``\ s. Where
            there is no memory for one, the buffer stays a frame.
        maps: What becomes of data that are mapped from a file for reading.
        other_pythons: The receivers that run another Python than this process.
        pieces: The parts of ``obj`` with the names that the caller's error message is to use for
            them.

    Returns:
        The pickle and the buffers, in the order in which ``unpack`` needs them.

    Raises:
        SerializationError: ``obj`` cannot be pickled. The cause is chained.
        UnsupportedOperation: ``obj`` holds code that the other Python cannot run.
    """
    buffers: list[Frame] = []
    perhaps_mapped: dict[int, memoryview] = {}

    def copied(view: memoryview) -> Frame:
        in_memory = _in_shared_memory(view) if shared else None
        return in_memory or (bytes(view) if snapshot else view)

    def keep_small_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND_BYTES:
            return True
        if view.readonly and maps is Maps.SHARED:
            perhaps_mapped[len(buffers)] = view
            buffers.append(view)
        else:
            buffers.append(copied(view))
        return False

    pickled = _dump(obj, keep_small_in_band, other_pythons, pieces, maps)
    for at, view, in_file in _mapped(perhaps_mapped):
        buffers[at] = in_file or copied(view)
    return [(_in_shared_memory(memoryview(pickled)) if shared else None) or pickled, *buffers]


def _mapped(
    candidates: dict[int, memoryview],
) -> Iterator[tuple[int, memoryview, FileRange | None]]:
    """Each candidate, and the part of a file that it shows.

    It is asked once for all and when the pickle is done. Buffers that a pickle makes and drops
    may lie where a file was mapped, but these live until it is sent.
    """
    views = list(candidates.values())
    if sum(view.nbytes for view in views) >= SHARED_BYTES:
        yield from zip(candidates, views, file_ranges(views), strict=True)
    else:
        yield from ((at, view, None) for at, view in candidates.items())


def _dump(
    obj: object,
    keep_in_band: Callable[[pickle.PickleBuffer], bool],
    other_pythons: OtherPythons,
    pieces: Callable[[], Pieces] | None,
    maps: Maps,
) -> bytes:
    stream = io.BytesIO()
    pickler = _Pickler(stream, keep_in_band)
    pickler.other_pythons, pickler.maps = other_pythons, maps
    try:
        pickler.dump(obj)
    except (SerializationError, UnsupportedOperation):
        raise  # the message says already what cannot travel
    except Exception as error:
        raise SerializationError(explain(obj, error, _fails, pieces)) from error
    # `getvalue` returns the stream's own bytes, not a copy. With `getbuffer`, CPython 3.13 and 3.14
    # prints an unraisable BufferError when a stream and a view of it are garbage of one cycle:
    # https://github.com/python/cpython/issues/111331
    return stream.getvalue()


class _Nowhere(io.RawIOBase):
    """A file that drops what is written, for pickling on trial."""

    def write(self, data: Any) -> int:
        return len(data)


def _fails(obj: object) -> bool:
    """Tell whether pickling this object alone fails."""
    try:
        _Pickler(_Nowhere(), lambda _: False).dump(obj)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - that is the question
        return True
    return False


def _in_shared_memory(view: memoryview) -> SharedBuffer | None:
    """Copy the bytes into shared memory, if they are many and there is memory for them."""
    if view.nbytes < SHARED_BYTES:
        return None
    try:
        return SharedBuffer.of(view)
    except OSError:
        return None


def pack_nested(
    obj: object,
    *,
    snapshot: bool = False,
    maps: Maps = Maps.COPIED,
    other_pythons: OtherPythons = NONE,
    pieces: Callable[[], Pieces] | None = None,
) -> list[pickle.PickleBuffer]:
    """Pack an object for inclusion in another pickle, which takes over its buffers.

    Args and Raises are those of ``pack``.
    """
    buffers: list[pickle.PickleBuffer] = []
    perhaps_mapped: dict[int, memoryview] = {}

    def keep_small_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND_BYTES:
            return True
        if snapshot and view.readonly and maps is Maps.SHARED:
            perhaps_mapped[len(buffers)] = view
        elif snapshot:
            buffer = pickle.PickleBuffer(bytearray(view))
        buffers.append(buffer)
        return False

    pickled = _dump(obj, keep_small_in_band, other_pythons, pieces, maps)
    for at, view, in_file in _mapped(perhaps_mapped):
        if in_file is None:
            buffers[at] = pickle.PickleBuffer(bytearray(view))
    # Never make a PickleBuffer of a memoryview: when both are garbage of one cycle (a traceback is
    # enough), CPython may clear the view first, and then releasing the buffer crashes. Mended in
    # 3.12.7 and 3.13.0; no longer needed without 3.11:
    # https://github.com/python/cpython/issues/77894
    return [pickle.PickleBuffer(pickled), *buffers]


def pack_namespace(
    namespace: Mapping[str, object],
    *,
    snapshot: bool = False,
    shared: bool = False,
    maps: Maps = Maps.COPIED,
    other_pythons: OtherPythons = NONE,
) -> list[Frame]:
    """Pack a dict of variables, and name the one that cannot be pickled.

    An object that two variables share is one object on the other side, too.

    Raises:
        SerializationError: A variable cannot be pickled; ``.name`` is the first such variable.
        UnsupportedOperation: A variable holds code that the other Python cannot run.
    """
    try:
        return pack(
            dict(namespace),
            snapshot=snapshot, shared=shared, maps=maps, other_pythons=other_pythons,
        )  # fmt: skip
    except SerializationError as error:
        failed = error
    # Outside of the except clause, or tracebacks would show each trial as an error during another.
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

    Arrays are views of the frames' memory. Where that is read-only, it is copied, so that every
    array is writable; but not if it is a part of a file, which is mapped.

    Args:
        frames: Bytes-like objects, shared buffers, or frames of pyzmq; the pickle is the first.

    Raises:
        LostSharedBuffer: a part of a file cannot be mapped.
    """
    ranges = [frame for frame in frames if isinstance(frame, FileRange)]
    if ranges:
        mapped = iter(map_ranges(ranges))
        frames = [next(mapped) if isinstance(frame, FileRange) else frame for frame in frames]
    return load(_bytes_like(frames[0]), [_writable(frame) for frame in frames[1:]])


def _bytes_like(frame: Any) -> bytes | bytearray | memoryview:
    """Return a frame as pickle can read it: a pyzmq Frame has its memory in ``.buffer``."""
    if isinstance(frame, SharedBuffer):
        return frame.map()
    return getattr(frame, "buffer", frame)  # type: ignore[no-any-return]


def _writable(frame: Any) -> bytearray | memoryview:
    """Return memory that the object may write to; read-only memory is copied, unless mapped."""
    view = memoryview(_bytes_like(frame))
    return bytearray(view) if view.readonly and not isinstance(view.obj, mmap) else view


class EngineFunction:
    """Stands for a function of ``kernelfleet.engine`` in a client, which must not import it.

    Unpickled on an engine it is the function.
    """

    def __init__(self, module: str, name: str) -> None:
        self._where = module, name

    def __reduce__(self) -> tuple[Any, ...]:
        return _import_function, self._where


def _import_function(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def total_bytes(frames: Sequence[Any]) -> int:
    """Return the total size of the frames in bytes."""
    return sum(map(frame_bytes, frames))
