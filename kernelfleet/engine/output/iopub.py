"""Publishing on iopub: messages counted by the request they belong to, and fast output streams.

The reply to a request says how many iopub messages belong to it, so the controller knows when it
has all of them, without busy and idle messages. A message is counted before it is queued: if the
count is read in between, the controller waits for a message that is about to come. Counted
afterwards, the message could be lost.
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
from json import loads  # imported by name: user code may replace json.loads
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

#: The most characters of printed text in one message: a larger one would keep the controller
#: from other work for too long.
_PIECE = 128 * 1024

#: With so many characters written and not sent, ``write`` looks whether it must wait.
_HELD_CHARACTERS = 64 * 1024
#: The least time in seconds between two such looks.
_LOOK_SECONDS = 0.001

#: The message types that are charged to the rate limit besides text.
_LIMITED = (b'"display_data"', b'"execute_result"', b'"update_display_data"')


class CountingIOPubThread(IOPubThread):
    """ipykernel's publishing thread, which also counts messages and bounds them."""

    def __init__(
        self, socket: Any, session: Any, pipe_path: str, limit: OutputRateLimit | None = None
    ) -> None:
        # Report every subscription, not only the first of a topic, so that they can be counted.
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
        """Whether the thread can publish: not before its start, and not in a forked child.

        ipykernel 7.4 asks ``Thread.is_alive`` before each event. When a KeyboardInterrupt hits that
        method, CPython 3.11 and 3.12 mark the living thread as ended, and then two threads would
        use one socket. Python 3.13 has no such lock any more, so with 3.13 as the oldest Python
        this can go: https://github.com/python/cpython/issues/90882
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
        """From now on count the messages whose parent is this request."""
        with self._count_lock:
            self._counted_id = msg_id.encode()
            self._count = 0

    def count(self) -> int:
        """Return how many messages of the current request are published or queued."""
        return self._count

    def send_multipart(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Count a message and queue it; beyond the rate limit a note takes its place."""
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
        """Return the message, or a note in its place, or nothing if the note was sent before."""
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

    # An event of this thread may queue others (a flush queues its message): they are handled in the
    # same turn.

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
        """Read subscriptions whose signal a send has consumed.

        The descriptor of a ZMQ socket signals changes only, and sending clears the signal.
        ipykernel 7.4 then sees a new subscriber, who waits for the ``iopub_welcome`` message of
        https://github.com/jupyter/enhancement-proposals/pull/65, only when the next one comes.
        This can go when ipykernel reads subscriptions after each send.
        """
        while self.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self._handle_subscription(self.socket.recv_multipart(zmq.NOBLOCK))

    def _handle_subscription(self, frames: Any) -> None:
        for frame in frames:
            self.subscriptions += 1 if frame[:1] == b"\x01" else -1
        super()._handle_subscription(frames)

    # Forked children print through a socket of their own. Here it is a Unix socket; ipykernel 7.4
    # opens a TCP port.

    def _setup_pipe_in(self) -> None:
        self._pipe_uuid = os.urandom(16)
        if not hasattr(os, "fork"):
            self._pipe_flag = False  # without fork there are no such children
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
        context = zmq.Context()  # a context does not survive a fork
        pipe_out = context.socket(zmq.PUSH)
        pipe_out.linger = 3000
        pipe_out.connect(f"ipc://{self._pipe_path}")
        return context, pipe_out


class EngineStream(OutStream):
    """stdout or stderr, bounded by rate limit and flow control; flushing nothing costs nothing."""

    #: How many characters were written in all, and how many of them are flushed.
    _written = 0
    _flushed = 0
    _flush_asked = False
    _forked_pid = 0
    _flush_overdue = _look_again = 0.0
    _buffer_parent: dict[str, Any] | None = None
    _buffer: Any = None
    #: Gets a copy of what is published, if the engine's log is to have one.
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
            self._rotate_buffers()  # drop the parent's text, which the parent sends itself
        parent = self.parent_header
        string = self.pub_thread.limit.text(parent.get("msg_id", ""), string)
        if not string:
            return length
        with self._buffer_lock:
            if parent is not self._buffer_parent:
                self._buffer = self._buffers[frozenset(parent.items())]
                self._buffer_parent = parent
            # Count first: an interrupt in between must not leave text that no flush sends.
            self._written += length
            self._buffer.write(string)
        if not in_child:
            self._schedule_flush()
        elif not self._subprocess_flush_pending:
            self._subprocess_flush_pending = True
            self.pub_thread.schedule(self._flush)  # no event loop runs in a child
        return length

    def _hold_back(self, publisher: Any) -> None:
        """Ask for a flush now, and wait if the controller has not read enough."""
        if not self._flush_asked:
            self._flush_asked = True
            publisher.schedule(self._flush)
        if publisher.outflow.is_full(self._written - self._flushed):
            publisher.wait_for_reader(lambda: self._written - self._flushed)

    def _schedule_flush(self) -> None:
        now = time.monotonic()
        if self._flush_pending and now < self._look_again:
            return  # the usual case, which must be fast
        self._look_again = now + _LOOK_SECONDS
        if self._written - self._flushed >= _HELD_CHARACTERS and self.pub_thread is not None:
            self._hold_back(self.pub_thread)
        if self._flush_pending and now < self._flush_overdue:
            return
        # No flush is pending, or it is overdue: an interrupt can come after ipykernel has noted
        # that a flush is pending and before it has scheduled it.
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
        """Send what was written, and wait until it is written to the network.

        ipykernel 7.4 waits until the message is queued. If the code then holds the GIL, crashes or
        is stopped, the message is delayed or lost.
        """
        if self._flushed != self._written:
            self.publish()
            if self.pub_thread is not None and self.pub_thread.runs:
                self.pub_thread.network.wait()

    def publish(self) -> None:
        """Send what was written, and wait until libzmq has the messages."""
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
            # Not an Event: a KeyboardInterrupt can leave its lock taken, and the publishing thread
            # would wait for it for ever. This can go with Python 3.15 as the oldest:
            # https://github.com/python/cpython/issues/148874
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

    # -- output of subprocesses and C libraries, which write to the descriptor ---------------

    def _setup_stream_redirects(self, name: str) -> None:
        self._fd_lock = threading.Lock()
        self._unread = select.poll()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        super()._setup_stream_redirects(name)
        self._unread.register(self._fid or 0, select.POLLIN)

    def _watch_pipe_fd(self) -> None:
        poller = select.poll()
        if self._fid is None:
            return
        poller.register(self._fid, select.POLLIN)
        while self._should_watch:
            try:
                poller.poll()
                self._take_over()
            except (OSError, ValueError):
                return

    def read_descriptor(self) -> None:
        """Take over what was written to the file descriptor so far. For the main thread.

        Nearly always that is nothing, so this asks with one short system call and takes no lock.
        The watching thread holds the lock until it has passed on what it has read, so the lock is
        looked at after the descriptor.
        """
        if self._fid is not None and (self._unread.poll(0) or self._fd_lock.locked()):
            self._take_over()

    def _take_over(self) -> None:
        fd: Any = self._fid
        with self._fd_lock:
            while _readable_bytes(fd) and self._should_watch:
                text = self._decoder.decode(os.read(fd, _READ_BYTES))
                if text:
                    self.write(text)


def _readable_bytes(fd: int) -> int:
    import fcntl  # this and termios exist wherever descriptors are watched
    import termios

    answer = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])
