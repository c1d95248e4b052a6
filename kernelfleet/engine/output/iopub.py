"""Publishing: iopub messages counted by the request they belong to, and lean output streams.

The reply to a request says how many iopub messages belong to it, so that its end is exact
without busy and idle. A message is counted before it is queued: a count that is too high for a
moment means waiting for a message that is about to come, one too low would lose it.
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import codecs
import os
import queue
import select
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from json import loads  # by name: the user may put something else in its place
from typing import Any

import zmq
from ipykernel.iostream import IOPubThread, OutStream
from jupyter_client.session import DELIM
from zmq.eventloop.zmqstream import ZMQStream

from kernelfleet.engine.output.network_threads import NetworkThreads
from kernelfleet.engine.output.outflow import Outflow
from kernelfleet.engine.output.output_log import OutputLog
from kernelfleet.engine.output.rate_limit import OutputRateLimit

_READ_BYTES = 65536

#: Printed text travels in messages of so many characters: a larger one would keep the controller
#: from its other work.
_PIECE = 128 * 1024

#: From so much on that is written and not yet sent, more may have to wait.
_HELD_CHARACTERS = 64 * 1024
#: How often that is looked at.
_LOOK_SECONDS = 0.001

#: What the limit of output is for, besides text.
_LIMITED = (b'"display_data"', b'"execute_result"', b'"update_display_data"')


class CountingIOPubThread(IOPubThread):
    """ipykernel's publishing thread that knows what it published for the current request."""

    def __init__(
        self, socket: Any, session: Any, pipe_path: str, limit: OutputRateLimit | None = None
    ) -> None:
        # XPUB reports every subscription, not only the first of a topic: others can be counted
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.subscriptions = 0
        self.limit = limit or OutputRateLimit()
        self.outflow = Outflow()
        self._pipe_path = pipe_path
        self._count_lock = threading.Lock()
        self._counted_id = b""
        self._count = 0
        self._in_turn = False
        self._running = False
        self.network: NetworkThreads
        super().__init__(socket, pipe=True, session=session)

    @property
    def runs(self) -> bool:
        """Whether there is a thread to publish: not before its start, and not in a forked child.

        ``Thread.is_alive``, which ipykernel 7.4 asks before each event, takes a living thread for
        an ended one for good when a KeyboardInterrupt hits it (CPython 3.11 and 3.12,
        ``_wait_for_tstate_lock``); two threads would use one socket then.
        """
        return self._running and os.getpid() == self._master_pid

    def start(self) -> None:
        """Start the thread."""
        self.network = NetworkThreads()
        self._running = True
        super().start()

    def _thread_main(self) -> None:
        try:
            super()._thread_main()
        finally:
            self._running = False

    def start_counting(self, msg_id: str) -> None:
        """Count from now on the messages whose parent is this request."""
        with self._count_lock:
            self._counted_id = msg_id.encode()
            self._count = 0

    def count(self) -> int:
        """Return how many messages of the current request are published or queued."""
        return self._count

    def send_multipart(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Queue a message, counting it first; one beyond the limit is replaced by a note."""
        try:
            start = msg.index(DELIM)
            header, parent = bytes(msg[start + 2]), msg[start + 3]
        except (ValueError, IndexError):
            header = parent = b""
        if any(each in header for each in _LIMITED):
            self.wait_for_reader()
            msg = self._within_limit(msg, parent)
            if not msg:
                return
        with self._count_lock:
            if self._counted_id and self._counted_id in parent:
                self._count += 1
        if header:
            self.outflow.sent(len(msg[msg.index(DELIM) + 5]))
        super().send_multipart(msg, *args, **kwargs)

    def wait_for_reader(self, not_sent: Callable[[], int] = lambda: 0) -> None:
        """Wait until the controller has read enough of what this process has published."""
        if self.runs and threading.current_thread() is not self.thread:
            self.outflow.wait(not_sent)

    def _within_limit(self, msg: list[Any], parent: bytes) -> list[Any]:
        """The message, or a note in its place, or nothing if that was said before."""
        request = loads(parent)
        msg_id = request.get("msg_id", "")
        size = sum(map(len, msg))
        if self.limit.admits(msg_id, size):
            return msg
        note = self.limit.note(f"{size / 2**20:.3g} MiB that were to be shown")
        text = self.limit.text(msg_id, f"{note}\n")
        if not text:
            return []
        content = {"name": "stderr", "text": text}
        said = self.session.msg("stream", content, parent=request)
        return list(self.session.serialize(said, ident=b"stream.stderr"))

    # what an event of this thread queues (a flush its message) is sent in the same turn

    def schedule(self, f: Callable[[], Any]) -> None:
        """Have ``f`` called in the publishing thread."""
        if self._in_turn and threading.current_thread() is self.thread:
            self._events.append(f)
        elif self.runs:
            self._events.append(f)
            self._event_pipe.send(b"")
        else:
            f()

    def _handle_event(self, msg: Any) -> None:
        self._in_turn = True
        try:
            for _ in range(3):
                for _ in range(len(self._events)):
                    self._events.popleft()()
        finally:
            self._in_turn = False
            if self._events:
                self._event_pipe.send(b"")

    def _really_send(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        super()._really_send(msg, *args, **kwargs)
        if self._is_master_process() and not self.closed:
            self._read_subscriptions()

    def _read_subscriptions(self) -> None:
        """Read what a send has hidden from the event loop.

        zmq signals by edges, and sending consumes them; ipykernel 7.4 then notices a subscriber
        (who waits for his welcome) or a leaver only when the next one comes.
        """
        while self.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self._handle_subscription(self.socket.recv_multipart(zmq.NOBLOCK))

    def _handle_subscription(self, frames: Any) -> None:
        for frame in frames:
            self.subscriptions += 1 if frame[:1] == b"\x01" else -1
        super()._handle_subscription(frames)

    # forked children print through a socket: a Unix one, where ipykernel 7.4 opens a TCP port

    def _setup_pipe_in(self) -> None:
        self._pipe_uuid = os.urandom(16)
        if not hasattr(os, "fork"):
            self._pipe_flag = False  # no children of this kind
            return
        pipe_in = self.socket.context.socket(zmq.PULL)
        pipe_in.linger = 0
        try:
            pipe_in.bind(f"ipc://{self._pipe_path}")
        except zmq.ZMQError as error:
            print(f"kernelfleet: no output from forked children: {error}", file=sys.__stderr__)
            self._pipe_flag = False
            pipe_in.close()
            return
        self._pipe_in = ZMQStream(pipe_in, self.io_loop)
        self._pipe_in.on_recv(self._handle_pipe_msg)

    def _setup_pipe_out(self) -> tuple[zmq.Context[Any], zmq.Socket[Any]]:
        context = zmq.Context()  # a fork needs a context of its own
        pipe_out = context.socket(zmq.PUSH)
        pipe_out.linger = 3000
        pipe_out.connect(f"ipc://{self._pipe_path}")
        return context, pipe_out


class EngineStream(OutStream):
    """stdout or stderr: flushing costs nothing when nothing was written."""

    #: Characters that were written, and that were of these when it was flushed last.
    _written = 0
    _flushed = 0
    _flush_asked = False
    _forked_pid = 0
    _flush_overdue = _look_again = 0.0
    _buffer_parent: dict[str, Any] | None = None
    _buffer: Any = None
    #: Where a copy of what is published goes, if it is wanted: the engine's log.
    log: OutputLog | None = None

    def write(self, string: str) -> int:
        """Write text; see ``OutStream.write``."""
        if not isinstance(string, str):
            raise TypeError(f"write() argument must be str, not {type(string)}")
        if self.pub_thread is None:
            raise ValueError("I/O operation on closed file")
        if self.echo is not None:
            self.echo.write(string)
        length = len(string)
        in_child = os.getpid() != self._master_pid
        if in_child and self._forked_pid != os.getpid():
            self._forked_pid = os.getpid()
            self._rotate_buffers()  # the parent's text, which the parent itself will send
        parent = self.parent_header
        string = self.pub_thread.limit.text(parent.get("msg_id", ""), string)
        if not string:
            return length
        with self._buffer_lock:
            if parent is not self._buffer_parent:
                self._buffer = self._buffers[frozenset(parent.items())]
                self._buffer_parent = parent
            self._written += length  # first: what an interrupt leaves uncounted is not flushed
            self._buffer.write(string)
        if not in_child:
            self._schedule_flush()
        elif not self._subprocess_flush_pending:
            self._subprocess_flush_pending = True
            self.pub_thread.schedule(self._flush)  # a child's loop does not run
        return length

    def _hold_back(self, publisher: Any) -> None:
        """Much is written: have it sent now, and wait if what was sent has not been read."""
        if not self._flush_asked:
            self._flush_asked = True
            publisher.schedule(self._flush)
        if publisher.outflow.is_full(self._written - self._flushed):
            publisher.wait_for_reader(lambda: self._written - self._flushed)

    def _schedule_flush(self) -> None:
        now = time.monotonic()
        if self._flush_pending and now < self._look_again:
            return  # as after nearly every write: it costs nothing more
        self._look_again = now + _LOOK_SECONDS
        if self._written - self._flushed >= _HELD_CHARACTERS and self.pub_thread is not None:
            self._hold_back(self.pub_thread)
        if self._flush_pending and now < self._flush_overdue:
            return
        # or an interrupt has come between ipykernel's noting of a flush and its scheduling
        self._flush_pending = False
        self._flush_overdue = now + 5 * self.flush_interval
        super()._schedule_flush()

    def _flush_buffers(self) -> Iterator[tuple[dict[str, Any], str]]:
        for parent, text in super()._flush_buffers():
            if self.log is not None:
                self.log.write(text)
            for start in range(0, len(text), _PIECE):
                yield parent, text[start : start + _PIECE]

    def _rotate_buffers(self) -> Any:
        with self._buffer_lock:
            self._buffer_parent = None
            return super()._rotate_buffers()

    def flush(self) -> None:
        """Send what was written, and wait until it has left for the network.

        ipykernel 7.4 waits until the message is queued; code that then holds the GIL, crashes or
        is stopped keeps it.
        """
        if self._flushed != self._written:
            self.publish()
            if self.pub_thread is not None and self.pub_thread.runs:
                self.pub_thread.network.wait()

    def publish(self) -> None:
        """Send what was written, and wait until libzmq has it."""
        if self._flushed == self._written:
            return
        publisher = self.pub_thread
        if (
            publisher is None
            or not publisher.runs
            or threading.current_thread() is publisher.thread
        ):
            self._flush()
        else:
            # Not an Event: a KeyboardInterrupt can leave its lock taken (CPython 3.11 to 3.14), and
            # the publishing thread would wait for it for ever.
            sent: queue.SimpleQueue[None] = queue.SimpleQueue()
            publisher.schedule(self._flush)
            publisher.schedule(lambda: publisher.schedule(lambda: sent.put(None)))
            with suppress(queue.Empty):
                sent.get(timeout=self.flush_timeout)

    def _flush(self) -> None:
        written = self._written
        self._flush_asked = False
        super()._flush()
        self._flushed = written

    # -- output of subprocesses and C libraries, which write to the file descriptor ---------

    def _setup_stream_redirects(self, name: str) -> None:
        self._fd_lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        super()._setup_stream_redirects(name)

    def _watch_pipe_fd(self) -> None:
        poller = select.poll()
        if self._fid is None:
            return
        poller.register(self._fid, select.POLLIN)
        while self._should_watch:
            try:
                poller.poll()
                self.read_descriptor()
            except (OSError, ValueError):
                return

    def read_descriptor(self) -> None:
        """Take over what processes have written to the file descriptor so far."""
        if self._fid is None:
            return
        with self._fd_lock:
            while _readable_bytes(self._fid) and self._should_watch:
                text = self._decoder.decode(os.read(self._fid, _READ_BYTES))
                if text:
                    self.write(text)


def _readable_bytes(fd: int) -> int:
    import fcntl  # where descriptors are watched, there are these
    import termios

    answer = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])
