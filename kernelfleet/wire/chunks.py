"""Large messages as parts, so that unauthenticated peers cost little memory and calls pass between.

libzmq (4.3.5) receives whole frames before it looks at keys, so a socket that anybody can reach
must refuse large ones (``ZMQ_MAXMSGSIZE``), and no frame of ours is larger than that. A message
that does not fit travels as a stream: the lengths of its frames, 8 bytes each, then the frames,
cut into pieces::

    part {frames, size, at: 0}  piece, piece, ...  -->
    part {at: 1048576}          piece, piece, ...  -->
                                                  <--  more {received: 1048576}

The receiver says how far it has come, and no more than ``WINDOW_BYTES`` are under way beyond that.
So a ping or another client's call never waits behind gigabytes, and neither side's libzmq holds
more than the window. What follows a large message waits for its last part, unless it has nothing
to do with it (``lanes.py``). A connection that breaks loses the stream; the message is sent again.

Pure: no sockets, no clock.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakSet

from kernelfleet.wire.buffers.arriving import Growing, Nowhere, Pieces, Shared, Target
from kernelfleet.wire.buffers.frames import frame_bytes
from kernelfleet.wire.buffers.shared_memory import SHARED_BYTES, available
from kernelfleet.wire.codec import MAX_HEADER_BYTES, BadMessage, Codec
from kernelfleet.wire.lanes import Topics, may_pass, topics
from kernelfleet.wire.messages import JsonDict

#: No frame is larger. Over TCP, where anybody can connect, throughput is the same from 32 KiB on,
#: as CURVE costs more than the cutting. On a Unix socket in a private directory nothing is cut that
#: is too small for shared memory: it would cost a third of the time.
TCP_FRAME_BYTES = 32 * 1024
IPC_FRAME_BYTES = 1024 * 1024
#: What libzmq may add to a frame: CURVE encrypts it into a command with a nonce (33 bytes).
OVERHEAD_BYTES = 1024
#: One message on the wire carries about as much: it costs Python on both sides some 0.1 ms.
PART_BYTES = 1024 * 1024
#: Parts under way, which the receiver has not confirmed.
WINDOW_BYTES = 4 * 1024 * 1024
#: The same for all lines together that share an uplink, as a head's to its nodes do; but a part for
#: each. What is urgent waits behind that, as each line gets only its share of the network.
UPLINK_BYTES = 12 * 1024 * 1024
#: Blocks of shared memory made for one message; each takes a descriptor.
MAX_BLOCKS = 64

_LENGTH_BYTES = 8
#: The signature and the header, which are looked at and not handed on.
_HEADER_FRAMES = 2

Frames = list[Any]


def frame_limit(url: str) -> int:
    """The size of the largest frame that is sent to, or taken from, a socket at this URL."""
    return TCP_FRAME_BYTES if url.startswith("tcp:") else IPC_FRAME_BYTES


def fits(frames: Sequence[Any], limit: int) -> bool:
    """Whether a message can travel as it is, where no frame may be larger than ``limit``."""
    total = 0
    for frame in frames:
        size = len(frame) if type(frame) is bytes else frame_bytes(frame)
        if size > limit:
            return False
        total += size
    return total <= PART_BYTES


class Uplink:
    """Lines that share a network: the more of them have bulk to send, the less each has on it."""

    def __init__(self) -> None:
        self._lines: WeakSet[Outgoing] = WeakSet()

    def add(self, line: Outgoing) -> None:
        """This line uses it too, for as long as there is the line."""
        self._lines.add(line)

    @property
    def window_bytes(self) -> int:
        """How much each line may have under way; a part at least."""
        busy = sum(line.is_busy for line in self._lines)
        return max(PART_BYTES, min(WINDOW_BYTES, UPLINK_BYTES // max(1, busy)))


class Outgoing:
    """What is sent on one line, in order; large messages in parts, as the receiver takes them.

    Args:
        codec: Signs the parts.
        transmit: Hands one message to the socket.
        limit: The size of the largest frame that the other side takes.
        uplink: What it shares with other lines; None if it is alone.
    """

    def __init__(
        self,
        codec: Codec,
        transmit: Callable[[Frames], None],
        limit: int,
        uplink: Uplink | None = None,
    ) -> None:
        self._codec, self._transmit, self._limit = codec, transmit, limit
        self._queue: deque[_Waiting] = deque()
        self._sent_bytes = self._confirmed_bytes = 0
        self._uplink = uplink or Uplink()
        self._uplink.add(self)

    @property
    def is_busy(self) -> bool:
        """Whether a large message is on its way."""
        return bool(self._queue)

    def send(self, header: JsonDict, buffers: Sequence[Any] = ()) -> None:
        """Send a message: at once, after those before it, or past those that it may pass.

        Raises:
            BadMessage: it is larger than anybody takes.
        """
        if not self._queue:
            frames = self._codec.encode(header, buffers)
            if fits(frames, self._limit):
                self._transmit(frames)
                return
            about = topics(header)
        else:
            about = topics(header)
            if "n" in header and may_pass(about, (waiting.about for waiting in self._queue)):
                frames = self._codec.encode({**header, "free": True}, buffers)
                if fits(frames, self._limit):
                    self._transmit(frames)
                    return
            frames = self._codec.encode(header, buffers)
        large = None if fits(frames, self._limit) else _Stream(frames, self._limit)
        self._queue.append(_Waiting(about, frames, large))
        self._send_on()

    def pass_by(self, header: JsonDict) -> None:
        """Send a small message that has no number and need not keep its place."""
        self._transmit(self._codec.encode(header))

    def confirmed(self, header: JsonDict) -> None:
        """The receiver has taken parts up to here.

        Raises:
            BadMessage: it says so of what was never sent.
        """
        received = header.get("received")
        if type(received) is not int or not self._confirmed_bytes <= received <= self._sent_bytes:
            raise BadMessage("a confirmation of what was never sent")
        self._confirmed_bytes = received
        self._send_on()

    def _send_on(self) -> None:
        while self._queue:
            large = self._queue[0].large
            if large is not None:
                under_way = self._sent_bytes - self._confirmed_bytes
                if under_way and under_way + PART_BYTES > self._uplink.window_bytes:
                    return
                header, pieces = large.next_part()
                self._sent_bytes += sum(map(len, pieces))
                if large.is_over:
                    self._queue.popleft()
                self._transmit(self._codec.encode(header, pieces))
            else:
                self._transmit(self._queue.popleft().frames)


class _Waiting(NamedTuple):
    """A message in the queue; a large one is being cut."""

    about: Topics
    frames: Frames
    large: _Stream | None


def _view(frame: Any) -> memoryview:
    """The bytes of a frame; a view of none cannot be cast."""
    view = memoryview(getattr(frame, "buffer", frame))
    return view.cast("B") if view.nbytes else memoryview(b"")


class _Stream:
    """A large message that is being cut."""

    def __init__(self, frames: Frames, limit: int) -> None:
        self._limit = limit
        views = [_view(frame) for frame in frames]
        lengths = struct.pack(f"<{len(views)}Q", *(view.nbytes for view in views))
        self._left = deque([memoryview(lengths), *views])
        self._fields: JsonDict = {
            "frames": len(views),
            "size": len(lengths) + sum(view.nbytes for view in views),
        }
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether all of it has been cut."""
        return not self._left

    def next_part(self) -> tuple[JsonDict, list[memoryview]]:
        """The header of the next part, and its pieces."""
        header = {"type": "part", "at": self._at, **self._fields}
        self._fields = {}
        room, pieces = PART_BYTES, []
        while self._left and room:
            view = self._left[0]
            piece = view[: min(self._limit, room)]
            if piece.nbytes:
                pieces.append(piece)
                room -= piece.nbytes
            if piece.nbytes == view.nbytes:
                self._left.popleft()
            else:
                self._left[0] = view[piece.nbytes :]
        while self._left and not self._left[0].nbytes:  # so that no part is empty
            self._left.popleft()
        self._at += PART_BYTES - room
        return header, pieces


# -- the other side ---------------------------------------------------------------------------


class Incoming:
    """Joins the parts that arrive on one line.

    Args:
        most_bytes: Buffers of a message that are larger in all are not kept; None keeps any.
        in_blocks: Put large buffers into shared memory, where there is some.
    """

    def __init__(self, most_bytes: int | None = None, *, in_blocks: bool = False) -> None:
        self._most_bytes = most_bytes
        self._in_blocks = in_blocks and available()
        #: Of parts on this line, which the sender wants to know.
        self.received_bytes = 0
        self._joining: _Joining | None = None

    @property
    def confirmation(self) -> JsonDict:
        """What the sender is told after each part."""
        return {"type": "more", "received": self.received_bytes}

    def take(self, header: JsonDict, pieces: Sequence[Any]) -> Frames | None:
        """Take a part; gives the frames of the message with its last one.

        Raises:
            BadMessage: it does not continue the message before, or does not begin one.
        """
        views = [_view(piece) for piece in pieces]
        joining, self._joining = self._joining, None
        if joining is None:
            joining = _Joining(header, self._target)
        joining.take(header, views)
        self.received_bytes += sum(view.nbytes for view in views)
        if joining.is_complete:
            return joining.frames
        self._joining = joining
        return None

    def _target(self, index: int, lengths: Sequence[int]) -> Target:
        if index < _HEADER_FRAMES:
            if lengths[index] > MAX_HEADER_BYTES:
                raise BadMessage(
                    f"a header of {lengths[index]} bytes; {MAX_HEADER_BYTES} are allowed"
                )
            return _heap(lengths[index])
        if self._most_bytes is not None and sum(lengths[_HEADER_FRAMES:]) > self._most_bytes:
            return Nowhere(lengths[index])
        if self._in_blocks and index < MAX_BLOCKS and lengths[index] >= SHARED_BYTES:
            try:
                return Shared(lengths[index])
            except OSError:  # no descriptor is left
                return _heap(lengths[index])
        return _heap(lengths[index])


def _heap(nbytes: int) -> Target:
    return Pieces() if nbytes <= PART_BYTES else Growing()


class _Joining:
    """One message that is being joined."""

    def __init__(self, header: JsonDict, target: Callable[[int, Sequence[int]], Target]) -> None:
        count, size = header.get("frames"), header.get("size")
        if type(count) is not int or type(size) is not int or header.get("at") != 0:
            raise BadMessage("a part that begins no message")
        if not _HEADER_FRAMES <= count <= size // _LENGTH_BYTES:
            raise BadMessage("a part with too few frames or too many")
        self._target_of = target
        self._count, self._size, self._at = count, size, 0
        self._lengths = bytearray()
        self._targets: list[Target] = []
        self._room = count * _LENGTH_BYTES
        self.frames: Frames = []
        self._sizes: tuple[int, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every byte has come."""
        return self._at == self._size

    def take(self, header: JsonDict, views: Sequence[memoryview]) -> None:
        """Take the bytes of a part."""
        if header.get("at") != self._at:
            raise BadMessage("a part that does not continue the one before")
        if not any(view.nbytes for view in views):
            raise BadMessage("an empty part")
        if self._at + sum(view.nbytes for view in views) > self._size:
            raise BadMessage("parts that are longer than their message")
        for view in views:
            rest = view
            while rest.nbytes:
                rest = self._take_some(rest)

    def _take_some(self, view: memoryview) -> memoryview:
        """Put what fits where it belongs; gives the rest."""
        data = view[: self._room]
        if self._sizes:
            self._targets[-1].write(data)
        else:
            self._lengths += data
        self._room -= data.nbytes
        self._at += data.nbytes
        while self._room == 0 and len(self.frames) < self._count:
            self._next_target()
        return view[data.nbytes :]

    def _next_target(self) -> None:
        """A frame is complete, or the lengths are."""
        if not self._sizes:
            self._sizes = struct.unpack(f"<{self._count}Q", self._lengths)
            if sum(self._sizes) + len(self._lengths) != self._size:
                raise BadMessage("lengths of frames that do not make up their message")
        else:
            self.frames.append(self._targets.pop().finish())
        if len(self.frames) < self._count:
            index = len(self.frames)
            self._targets.append(self._target_of(index, self._sizes))
            self._room = self._sizes[index]
