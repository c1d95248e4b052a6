"""The daemon's door: clients on a Unix socket and on encrypted loopback TCP.

::

    DEALER --frames--> ROUTER ipc --+
    DEALER --CURVE---> ROUTER tcp --+--> Codec --> Sequence --> Controller.handle
    DEALER <----------------------------- outbox, within credit <-- WirePeer.deliver

The Unix socket lies in a private directory (0700); TCP wants the client key of the connection
file (CURVE, checked by ZAP). On both, every message is signed with the fleet's key. Whoever does
not have these gets nothing, not even an error.

A client that does not read bounds itself: what it has not acknowledged is kept once, sent up to
its credit, and beyond a limit its new requests are refused.
"""

from __future__ import annotations

import asyncio
from logging import Logger
from typing import Any

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator

from kernelfleet.controller.controller import Controller
from kernelfleet.controller.heads import shown
from kernelfleet.controller.peers import WirePeer
from kernelfleet.wire.blocks import LostBlock, from_frames, probe_succeeds
from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.connection import DEFAULT_PORT, PROTOCOL_VERSION, FleetFile
from kernelfleet.wire.pump import SocketPump

JsonDict = dict[str, Any]

#: Unacknowledged bytes after which a client's new requests are refused.
OVERLOAD_BYTES = 4 * 1024 * 1024 * 1024
#: Loop time without a word after which a client counts as gone; it pings at least every 5 s.
CLIENT_TIMEOUT = 30.0
CHECK_SECONDS = 5.0
#: Checks without a word, and without a connection, after which it counts as gone: 5 to 10 s. It
#: has given up by then, unless it is dead.
GONE_CHECKS = 2
#: Ports tried from the first on.
PORTS_TRIED = 100

ZAP_DOMAIN = "kernelfleet"


class Server:
    """Listens for clients of one controller, on the controller's loop."""

    def __init__(
        self, controller: Controller, context: zmq.Context[Any], fleet: FleetFile, log: Logger
    ) -> None:
        self._controller, self._context, self._log = controller, context, log
        self._loop = asyncio.get_running_loop()
        self._codec = Codec(bytes.fromhex(fleet.key))
        self._peers: dict[str, WirePeer] = {}
        self._pumps: list[SocketPump] = []
        self._authenticator: AsyncioAuthenticator | None = None
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check_clients)
        #: Messages refused because they were malformed or not signed with our key.
        self.refused = 0

    # -- listening ------------------------------------------------------------------------------

    def listen_ipc(self, path: str) -> str:
        """Listen on a Unix socket in a private directory; returns the URL."""
        socket = self._router()
        url = f"ipc://{path}"
        socket.bind(url)
        self._serve(socket)
        return url

    def listen_tcp(self, fleet: FleetFile, port: int | None) -> str:
        """Listen on loopback TCP; makes the keys and puts them into ``fleet``.

        Args:
            fleet: The connection file to be.
            port: Exactly this one; None is 10105 or the next free one.

        Raises:
            OSError: the port (or all that were tried) is in use.
        """
        server_public, server_secret = zmq.curve_keypair()
        client_public, client_secret = zmq.curve_keypair()
        fleet.server_public_key = server_public.decode()
        fleet.client_public_key = client_public.decode()
        fleet.client_secret_key = client_secret.decode()
        self._authenticator = AsyncioAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(
            domain=ZAP_DOMAIN, credentials_provider=_OnlyKey(client_public)
        )
        socket = self._router()
        socket.curve_server = True
        socket.curve_secretkey = server_secret
        socket.curve_publickey = server_public
        socket.zap_domain = ZAP_DOMAIN.encode()
        ports = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED)
        for candidate in ports:
            try:
                socket.bind(f"tcp://127.0.0.1:{candidate}")
            except zmq.ZMQError as error:
                last = error
            else:
                self._serve(socket)
                return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        socket.close(linger=0)
        raise OSError(f"cannot listen on 127.0.0.1:{ports[0]}: {last}")

    def _router(self) -> zmq.Socket[Any]:
        socket: zmq.Socket[Any] = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = 0
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        return socket

    def _serve(self, socket: zmq.Socket[Any]) -> None:
        pump = SocketPump(self._loop, socket, lambda frames: self._on_frames(pump, frames))
        self._pumps.append(pump)

    # -- messages -------------------------------------------------------------------------------

    def _on_frames(self, pump: SocketPump, frames: list[Any]) -> None:
        try:
            identity = bytes(frames[0].bytes)
            client_id = identity.decode()
            head, buffers = self._codec.decode(frames[1:])
            self._take(pump, identity, client_id, head, buffers)
        except (BadMessage, UnicodeDecodeError) as error:
            self.refused += 1
            if self.refused == 1:
                self._log.warning("refused a malformed or unsigned message: %s", error)

    def _take(
        self, pump: SocketPump, identity: bytes, client_id: str, head: JsonDict, buffers: list[Any]
    ) -> None:
        kind = head["type"]
        if kind == "hello":
            self._hello(pump, identity, client_id, head)
            return
        peer = self._peers.get(client_id)
        if peer is None:
            # It was forgotten (gone for long), or never said hello; it will be told to start anew.
            stranger = WirePeer(pump, identity, self._codec)
            stranger.send(
                {"type": "refused", "reason": "the controller does not know this client any more"},
                [],
            )
            return
        peer.quiet_checks = 0
        verdict = peer.sequence.accept(head)
        if kind == "bye":
            self._forget(client_id)
        elif kind == "ping":
            peer.send_within_credit()
            peer.send({"type": "pong"}, [])
        elif kind == "resend":
            peer.resend(head.get("ack", 0))
        elif kind == "ack":
            peer.send_within_credit()
        elif "n" not in head:
            raise BadMessage("a request without a number")
        elif verdict == "deliver":
            self._deliver(client_id, peer, head, buffers)

    def _deliver(self, client_id: str, peer: WirePeer, head: JsonDict, buffers: list[Any]) -> None:
        if peer.sequence.unacknowledged_bytes > OVERLOAD_BYTES and head["type"] == "request":
            text = "this client has not read its earlier results: nothing new until it does"
            refusal = {"ename": "FleetError", "evalue": text}
            peer.deliver({"type": "reply", "to": head["n"], "refused": refusal}, [])
            return
        try:
            buffers = from_frames(buffers)
        except LostBlock as error:
            refusal = {"ename": "FleetError", "evalue": str(error)}
            peer.deliver({"type": "reply", "to": head["n"], "refused": refusal}, [])
            return
        self._controller.handle(client_id, head, buffers)

    def _hello(self, pump: SocketPump, identity: bytes, client_id: str, head: JsonDict) -> None:
        peer = self._peers.get(client_id)
        if head.get("version") != PROTOCOL_VERSION:
            reason = (
                f"the controller speaks version {PROTOCOL_VERSION} of the protocol, this client "
                f"{shown(head.get('version'))}: use the same kernelfleet on both sides"
            )
            WirePeer(pump, identity, self._codec).send({"type": "refused", "reason": reason}, [])
            return
        if peer is None:
            peer = self._peers[client_id] = WirePeer(pump, identity, self._codec)
        else:
            peer.take_over(pump, identity)
        peer.shares_memory = probe_succeeds(head)
        welcome = self._controller.connect(client_id, peer)
        peer.send({**welcome, "shares_memory": peer.shares_memory}, [])
        peer.resend(head.get("ack", 0))

    def _forget(self, client_id: str) -> None:
        self._peers.pop(client_id, None)
        self._controller.disconnect(client_id)

    def _check_clients(self) -> None:
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check_clients)
        for client_id, peer in list(self._peers.items()):
            peer.quiet_checks += 1
            silent = peer.quiet_checks * CHECK_SECONDS > CLIENT_TIMEOUT
            if silent or (peer.quiet_checks >= GONE_CHECKS and not peer.is_connected()):
                self._log.info("client %s is gone", client_id)
                self._forget(client_id)

    def close(self) -> None:
        """Tell the clients that it is over, and close the door."""
        self._timer.cancel()
        for peer in self._peers.values():
            peer.deliver({"type": "event", "event": "stopped"}, [])
        for pump in self._pumps:
            pump.close(linger=0.5)
        if self._authenticator is not None:
            self._authenticator.stop()


class _OnlyKey:
    """A ZAP credentials provider that knows one client key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this client key may connect."""
        del domain
        return key == self._key
