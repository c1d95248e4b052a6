"""The sockets to the kernels: four for the whole fleet, whatever the number of engines.

::

    shell   ROUTER  requests and replies, one routing id per incarnation of an engine
    control ROUTER  the same beside the queue: peek, shutdown, interrupt
    stdin   ROUTER  shell's own routing id, as a kernel sends input_request there
    iopub   SUB     everything the kernels publish

This module turns bytes into messages; ``engine.py`` decides what they mean. A foreign kernel gets a
``KernelChannels`` of its own: some kernels copy the session of the request into what they publish,
and then only the socket tells which engine a message is from.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any

import zmq
from jupyter_client.session import Session

from kernelfleet.controller.timing import DRAIN_SECONDS
from kernelfleet.wire.jupyter import BadKernelMessage, KernelMessage, decode
from kernelfleet.wire.pump import SocketPump

#: Called with the channel's name and the message.
OnMessage = Callable[[str, KernelMessage], None]

#: How soon to try again to connect to a kernel that has not bound its sockets yet (ZMQ's default
#: is 0.1 s, which would be most of the time of a start).
RECONNECT_INTERVAL = 0.01


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs that one process of a kernel listens at."""

    shell: str
    control: str
    stdin: str
    iopub: str
    curve_public_key: bytes | None = None
    curve_secret_key: bytes | None = None


class KernelChannels:
    """The sockets; every method is called on the controller's loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[Any],
        session: Session,
        on_message: OnMessage,
        log: Logger,
    ) -> None:
        self._session = session
        self._on_message = on_message
        self._log = log
        self.bad_messages = 0
        routing_id = b"kernelfleet-" + uuid.uuid4().hex.encode()
        self._pumps: dict[str, SocketPump] = {}
        for channel in ("shell", "control", "stdin", "iopub"):
            socket = context.socket(zmq.SUB if channel == "iopub" else zmq.ROUTER)
            socket.linger = 0
            socket.rcvhwm = socket.sndhwm = 0
            socket.setsockopt(zmq.RECONNECT_IVL, int(RECONNECT_INTERVAL * 1000))
            if channel == "iopub":
                socket.setsockopt(zmq.SUBSCRIBE, b"")
            else:
                socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
                socket.setsockopt(
                    zmq.ROUTING_ID, routing_id if channel != "control" else routing_id + b"-control"
                )
            self._pumps[channel] = SocketPump(
                loop,
                socket,
                lambda frames, channel=channel: self._receive(channel, frames),  # type: ignore[misc]
            )

    def connect(self, identity: bytes, endpoints: Endpoints) -> None:
        """Connect to a kernel process, which need not listen yet."""
        for channel, pump in self._pumps.items():
            if endpoints.curve_public_key is not None:
                pump.socket.curve_serverkey = endpoints.curve_public_key
                pump.socket.curve_publickey = endpoints.curve_public_key
                pump.socket.curve_secretkey = endpoints.curve_secret_key or b""
            if channel != "iopub":
                pump.socket.setsockopt(zmq.CONNECT_ROUTING_ID, identity)
            pump.socket.connect(getattr(endpoints, channel))

    def disconnect(self, endpoints: Endpoints) -> None:
        """Disconnect from a kernel process, and drop everything still queued for it."""
        for channel, pump in self._pumps.items():
            try:
                pump.socket.disconnect(getattr(endpoints, channel))
            except zmq.ZMQError as error:
                self._log.debug("disconnecting %s: %s", getattr(endpoints, channel), error)

    def send(self, channel: str, identity: bytes, frames: Sequence[Any]) -> None:
        """Send signed frames to one kernel process."""
        try:
            self._pumps[channel].send([identity, *frames])
        except zmq.ZMQError as error:
            # The process has ended; its callers will be told when its death is seen.
            self._log.debug("sending on %s: %s", channel, error)

    async def drain(self) -> None:
        """Read what has already arrived, such as the last messages of a dead kernel.

        Bounded in time, and other work gets its turns meanwhile: other kernels publish on the same
        sockets, perhaps faster than they are read.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_SECONDS
        more = set(self._pumps.values())
        while more and loop.time() < deadline:
            more = {pump for pump in more if pump.take_turn()}
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close the sockets."""
        for pump in self._pumps.values():
            pump.close()

    def _receive(self, channel: str, frames: list[Any]) -> None:
        try:
            message = decode(self._session, frames)
        except BadKernelMessage as error:
            self.bad_messages += 1
            if self.bad_messages == 1:
                self._log.warning(
                    "ignored a malformed message of a kernel on %s: %s", channel, error
                )
            if channel != "shell":
                return
            # Nobody knows which request it answers, so it counts as the reply of what runs.
            message = KernelMessage(
                [bytes(frames[0].bytes)], "", "", "", {}, [], problem=str(error)
            )
        if channel != "iopub":
            # The routing id is certain; what the message claims is not.
            message.session = message.identities[0].decode()
        self._on_message(channel, message)
