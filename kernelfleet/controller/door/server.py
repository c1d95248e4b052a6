"""The daemon's door: clients on a Unix socket and on encrypted TCP, loopback unless told otherwise.

::

    DEALER --frames--> ROUTER ipc --+
    DEALER --CURVE---> ROUTER tcp --+--> SessionConnection --> ClientSession --> Controller.handle
    DEALER <---------------------------- SessionConnection <-- credit <--- ClientSession.deliver

The Unix socket lies in a private directory (0700); TCP requires the client key of the connection
file (CURVE, checked by ZAP). On both, every message is signed: the first one with the fleet's key,
all others with a key of their connection (``wire/handshake.py``), so a message that was captured on
one connection is refused on any other. Whoever does not have these keys gets no answer, not even
an error. The keys of connections serve users who forward the Unix socket to another machine (``ssh
-L``, ``socat``), where others may record what travels unencrypted: it cannot be sent again.

The memory for a client that does not read is bounded: what it has not acknowledged is kept once and
sent up to its credit, and beyond a limit its new requests are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from logging import Logger
from pathlib import Path
from typing import Any

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator

from kernelfleet.controller.base import BaseController
from kernelfleet.controller.door.gatekeeper import (
    MAX_WAITING_UNIX,
    Door,
    Gatekeeper,
    listen_near,
)
from kernelfleet.controller.door.sessions import ClientSession, SessionConnection
from kernelfleet.controller.limits import max_descriptors
from kernelfleet.controller.timing import (
    CHECK_SECONDS,
    CLIENT_TIMEOUT,
    DEAD_LINK_SECONDS,
    GONE_CHECKS,
    ClientTimes,
)
from kernelfleet.wire.buffers.arriving import Left
from kernelfleet.wire.buffers.frames import from_frames
from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, SharedBuffer, probe_succeeds
from kernelfleet.wire.chunks import (
    IPC_FRAME_BYTES,
    OVERHEAD_BYTES,
    TCP_FRAME_BYTES,
)
from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.files.addresses import LOOPBACK, reachable_url
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.private_files import close_to_others
from kernelfleet.wire.handshake import (
    MAX_NAME_CHARACTERS,
    PLAIN_USERNAME,
    connection_codecs,
    new_nonce,
    plain_password,
    read_hello,
)
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.pump import SocketPump
from kernelfleet.wire.versions import HERE, Installed, why_not

#: A client that does not read its results is forgotten after so many refused requests in a row.
MAX_REFUSALS = 1000
#: Connections that may be between hello and open; with one more, the oldest is forgotten.
MAX_UNOPENED = 1000

ZAP_DOMAIN = "kernelfleet"


class Server:
    """Listens for clients of one controller, on the controller's loop."""

    def __init__(
        self,
        controller: BaseController[Any],
        context: zmq.Context[Any],
        fleet: FleetFile,
        log: Logger,
        times: ClientTimes | None = None,
    ) -> None:
        self._controller, self._context, self._log = controller, context, log
        self._loop = asyncio.get_running_loop()
        self._limits = controller.limits
        self._name, self._key = fleet.name, bytes.fromhex(fleet.key)
        self._codec = Codec(self._key)
        self._sessions: dict[str, ClientSession] = {}
        self._connections: dict[tuple[SocketPump, bytes], SessionConnection] = {}
        self._unopened: dict[tuple[SocketPump, bytes], None] = {}
        #: By listening socket: its door, and the size of the largest frame that it accepts.
        self._doors: dict[SocketPump, tuple[Door, int]] = {}
        self._authenticator: AsyncioAuthenticator | None = None
        self._times = times or ClientTimes(CHECK_SECONDS, GONE_CHECKS, CLIENT_TIMEOUT)
        self._timer = self._loop.call_later(self._times.check_seconds, self._check_clients)
        self._gatekeeper = Gatekeeper(log, max_descriptors())
        controller.count_refused = self._gatekeeper.counts

    @property
    def refused(self) -> int:
        """How many messages were malformed, not signed with our key, or captured elsewhere."""
        return self._gatekeeper.messages

    @property
    def refused_connections(self) -> int:
        """How many connections did not show a key."""
        return self._gatekeeper.connections

    # -- listening ------------------------------------------------------------------------------

    def listen_ipc(self, path: str) -> str:
        """Listen on a Unix socket in a private directory; returns the URL."""
        passwords = {PLAIN_USERNAME.decode(): plain_password(self._key)}
        self._authentication().configure_plain(domain=ZAP_DOMAIN, passwords=passwords)
        socket = self._router(IPC_FRAME_BYTES)
        socket.plain_server = True
        door = self._gatekeeper.watch(self._loop, self._context, socket, MAX_WAITING_UNIX)
        url = door.bind_ipc(path)
        close_to_others(Path(path))
        self._serve(socket, door, IPC_FRAME_BYTES)
        return url

    def listen_tcp(
        self,
        fleet: FleetFile,
        port: int | None,
        host: str = LOOPBACK,
        client_key: str | None = None,
    ) -> str:
        """Listen on encrypted TCP; makes the keys and puts them into ``fleet``.

        Args:
            fleet: The connection file to be.
            port: Exactly this one; None is 10105 or the next free one.
            host: The address of this machine to listen on; ``0.0.0.0`` is all of them.
            client_key: The public key of the only client, which has made its keys itself; None
                makes them for it.

        Returns:
            The URL for clients. Of a door on all addresses, it has the one that others see.

        Raises:
            OSError: the port (or all that were tried) is in use, or there is no such address.
        """
        listener = listen_near(port, host)
        server_public, server_secret = zmq.curve_keypair()
        client_public, client_secret = zmq.curve_keypair()
        if client_key is None:
            fleet.client_secret_key = client_secret.decode()
        else:
            client_public = client_key.encode()
        fleet.server_public_key = server_public.decode()
        fleet.client_public_key = client_public.decode()
        self._authentication().configure_curve_callback(
            domain=ZAP_DOMAIN, credentials_provider=_OnlyKey(client_public)
        )
        socket = self._router(TCP_FRAME_BYTES)
        socket.curve_server = True
        socket.curve_secretkey = server_secret
        socket.curve_publickey = server_public
        door = self._gatekeeper.watch(self._loop, self._context, socket)
        self._serve(socket, door, TCP_FRAME_BYTES)
        return reachable_url(door.bind_tcp(listener))

    def _authentication(self) -> AsyncioAuthenticator:
        """The authenticator that checks keys before libzmq delivers or keeps a message."""
        if self._authenticator is None:
            self._authenticator = AsyncioAuthenticator(self._context)
            self._authenticator.start()
        return self._authenticator

    def _router(self, frame_bytes: int) -> zmq.Socket[Any]:
        socket: zmq.Socket[Any] = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = 0
        # libzmq (4.3.5) receives a whole frame before it checks keys.
        socket.setsockopt(zmq.MAXMSGSIZE, frame_bytes + OVERHEAD_BYTES)
        socket.zap_domain = ZAP_DOMAIN.encode()
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.TCP_MAXRT, DEAD_LINK_SECONDS * 1000)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, DEAD_LINK_SECONDS // 3)
        socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, DEAD_LINK_SECONDS // 6)
        socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 4)
        return socket

    def _serve(self, socket: zmq.Socket[Any], door: Door, frame_bytes: int) -> None:
        pump = SocketPump(self._loop, socket, lambda frames: self._on_frames(pump, frames))
        self._doors[pump] = door, frame_bytes

    # -- messages -------------------------------------------------------------------------------

    def _on_frames(self, pump: SocketPump, frames: list[Any]) -> None:
        try:
            identity = bytes(frames[0].bytes)
            connection = self._connections.get((pump, identity))
            if connection is None:
                header, _ = self._codec.decode(frames[1:])
                self._doors[pump][0].let_in(frames[0])
                self._hello(pump, identity, header)
            else:
                message = connection.decode(frames[1:])
                if message is not None:
                    self._take(connection, *message)
                elif connection.session is not None:
                    connection.session.heard()
        except BadMessage as error:
            self._gatekeeper.refuse(error)

    def _take(self, connection: SessionConnection, header: JsonDict, buffers: list[Any]) -> None:
        kind, session = header["type"], connection.session
        if session is None:
            self._open(connection, header)
            return
        session.heard()
        if connection is session.probe and kind != "ping":
            raise BadMessage("a probe connection is for pings only")
        verdict = session.sequence.accept(header)
        if kind == "bye":
            self._forget(session)
        elif kind == "ping":
            session.send_within_credit()
            session.pong(connection)
        elif kind == "resend":
            session.resend(header.get("ack", 0))
        elif kind == "ack":
            session.send_within_credit()
        elif "n" not in header:
            raise BadMessage("a request without a number")
        elif verdict == "deliver" and kind != "void":
            self._deliver(session, header, buffers)

    def _deliver(self, session: ClientSession, header: JsonDict, buffers: list[Any]) -> None:
        reason = self._why_not(session, buffers)
        if not reason:
            try:
                buffers = from_frames(buffers, with_files=self._controller.one_machine)
            except LostSharedBuffer as error:
                reason = str(error)
        if reason:
            refusal = {"ename": "FleetError", "evalue": reason}
            session.deliver({"type": "reply", "to": header["n"], "refused": refusal}, [])
        else:
            self._controller.handle(session.name, header, buffers)
        if session.refusals > MAX_REFUSALS:
            self._log.warning("client %s asks and does not read: it is forgotten", session.name)
            session.send({"type": "forgotten"}, [])
            self._forget(session)

    def _why_not(self, session: ClientSession, buffers: list[Any]) -> str:
        """Why a message is not taken from this client; empty if it is."""
        limit, size = self._limits.message_bytes, sum(map(_socket_bytes, buffers))
        if limit is not None and size > limit:
            return f"a message of {size} bytes; Limits.message_bytes of this fleet is {limit}"
        for buffer in buffers:
            if isinstance(buffer, Left):
                return f"a message of {size} bytes was not taken: {buffer.reason}"
        session.refusals = 0 if session.has_room else session.refusals + 1
        if session.refusals:
            return "this client has not read its earlier results: nothing new until it does"
        return ""

    # -- who comes and goes ---------------------------------------------------------------------

    def _hello(self, pump: SocketPump, identity: bytes, header: JsonDict) -> None:
        """Register a connection; it belongs to no session until it is opened with its own keys."""
        if header["type"] == "hello" and (reason := self._why_not_together(header)):
            self._answer(pump, identity, {"type": "refused", "reason": reason})
            return
        client_id, nonce = read_hello(header)
        challenge = new_nonce()
        codecs = connection_codecs(self._key, client_id, nonce, challenge)
        frame_bytes = self._doors[pump][1]
        connection = SessionConnection(
            pump, identity, client_id, codecs, frame_bytes, self._limits.message_bytes
        )
        self._connections[connection.key] = connection
        self._unopened[connection.key] = None
        if len(self._unopened) > MAX_UNOPENED:
            oldest = next(iter(self._unopened))
            del self._unopened[oldest], self._connections[oldest]
        answer = {"type": "challenge", "nonce": nonce, "challenge": challenge}
        self._answer(pump, identity, answer)

    def _why_not_together(self, header: JsonDict) -> str | None:
        """Why a client's version does not work with ours; None if it does."""
        protocol, version = header.get("version"), header.get("kernelfleet")
        if not isinstance(protocol, int) or isinstance(protocol, bool):
            protocol = 0
        known = isinstance(version, str) and len(version) < MAX_NAME_CHARACTERS
        client = Installed(str(version) if known else "", protocol)
        return why_not(HERE, client, self._name)

    def _answer(self, pump: SocketPump, identity: bytes, header: JsonDict) -> None:
        with contextlib.suppress(zmq.ZMQError):  # it has gone meanwhile
            pump.send([identity, *self._codec.encode(header)])

    def _open(self, connection: SessionConnection, header: JsonDict) -> None:
        """Attach a connection to its client's session, or to a new one.

        That the message is signed with the connection's keys proves who sent it.
        """
        if header["type"] != "open":
            raise BadMessage("a connection is to be opened first")
        session = self._sessions.get(connection.client_id)
        known = session is not None and header.get("session") == session.id
        if header.get("side"):
            if session is not None and known:
                self._belongs(connection, session)
                self._drop(session.probe)
                session.probe = connection
                session.heard()
                session.pong(connection)
            else:
                connection.send({"type": "forgotten"}, [])
                self._unopened.pop(connection.key, None)
                self._drop(connection)
            return
        if session is None or not known:
            if session is not None:
                self._forget(session)
            session = self._sessions[connection.client_id] = ClientSession(connection, self._limits)
        else:
            self._drop(session.connection)
        self._belongs(connection, session)
        session.connection = connection
        session.heard()
        session.shares_memory = shared = probe_succeeds(header)
        welcome = self._controller.connect(session.name, session)
        files = shared and bool(welcome.get("shares_files"))
        extra = {"session": session.id, "shares_memory": shared, "shares_files": files}
        session.send({**welcome, **extra}, [])
        session.resend(header.get("ack", 0) if known else 0)

    def _belongs(self, connection: SessionConnection, session: ClientSession) -> None:
        self._unopened.pop(connection.key, None)
        connection.session = session

    def _drop(self, connection: SessionConnection | None) -> None:
        """Forget a connection: what still arrives on it is refused."""
        if connection is not None:
            self._connections.pop(connection.key, None)
            connection.session = None

    def _forget(self, session: ClientSession) -> None:
        del self._sessions[session.client_id]
        for connection in session.connections:
            self._drop(connection)
        self._controller.disconnect(session.name)

    def _check_clients(self) -> None:
        times = self._times
        self._timer = self._loop.call_later(times.check_seconds, self._check_clients)
        for session in list(self._sessions.values()):
            session.quiet_checks += 1
            silent = session.quiet_checks * times.check_seconds > times.timeout
            # In several looks in a row, as one may come between two connections.
            session.gone_checks = 0 if session.is_connected() else session.gone_checks + 1
            if silent or session.gone_checks >= times.gone_checks:
                self._log.info("client %s is gone", session.name)
                session.send({"type": "forgotten"}, [])  # it may only have been stopped
                self._forget(session)

    def close(self) -> None:
        """Tell the clients that it is over, and close the door."""
        self._timer.cancel()
        for session in self._sessions.values():
            session.deliver({"type": "event", "event": "stopped"}, [])
        self._gatekeeper.close()
        for pump in self._doors:
            pump.close(linger=0.5)
        if self._authenticator is not None:
            self._authenticator.stop()


def _socket_bytes(buffer: Any) -> int:
    """The size of a buffer as it came through the socket."""
    return buffer.nbytes if isinstance(buffer, (Left, SharedBuffer)) else len(buffer)


class _OnlyKey:
    """A ZAP credentials provider that knows one client key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this client key may connect."""
        del domain
        return key == self._key
