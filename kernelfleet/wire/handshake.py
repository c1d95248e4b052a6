"""How a client's connection to the controller is opened, so that no captured message is accepted.

::

    client                              controller
    hello {version, client, nonce} -->                        signed with the fleet's key
                                   <--  challenge {nonce, challenge}
    open {session, ...}            -->                        from here on with its keys
                                   <--  welcome {session, ...}

A client's *session* (its message numbers and what it has not acknowledged) outlives its
connections. The keys of a connection are derived from the fleet's key, the client's id and one
nonce of each side, and each direction has its own. So a message is valid on one connection, in one
direction, for one client; anywhere else its signature is wrong. A captured hello can be sent again,
but the challenge that answers it is of no use to anybody who does not know the fleet's key.

Pure: no sockets, no clock.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import NamedTuple

from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.messages import JsonDict

#: The user name of every client at the Unix socket.
PLAIN_USERNAME = b"kernelfleet"
#: The longest id of a client, and the longest nonce.
MAX_NAME_CHARACTERS = 100


class ConnectionCodecs(NamedTuple):
    """The codecs of one connection, by direction."""

    to_controller: Codec
    to_client: Codec


def connection_codecs(key: bytes, client: str, nonce: str, challenge: str) -> ConnectionCodecs:
    """The codecs of the connection that this hello and this challenge have opened."""

    def derived(direction: str) -> Codec:
        context = json.dumps(["kernelfleet connection", direction, client, nonce, challenge])
        return Codec(hmac.digest(key, context.encode(), hashlib.sha256))

    return ConnectionCodecs(derived("to controller"), derived("to client"))


def plain_password(key: bytes) -> str:
    """The password that a client shows when it connects to the Unix socket (ZMQ's PLAIN).

    It is derived from the fleet's key and is not the key: a process that has put a socket of its
    own at that path learns nothing that it could sign messages with.
    """
    return hmac.digest(key, b"kernelfleet unix socket", hashlib.sha256).hex()


def key_of_node(name: str, client_public_key: str) -> str:
    """The key, in hex, that a node and its head sign messages with.

    It is no secret, as no secret is to travel to a node: CURVE keeps others out, with the key pair
    that each of the two has made itself. The signature only binds a message to its connection.
    """
    return hashlib.sha256(f"{name} {client_public_key}".encode()).hexdigest()


def new_nonce() -> str:
    """A fresh random nonce."""
    return secrets.token_hex(16)


def read_hello(header: JsonDict) -> tuple[str, str]:
    """The client's id and its nonce.

    Raises:
        BadMessage: it is no hello, or they are missing.
    """
    client, nonce = header.get("client"), header.get("nonce")
    if header["type"] != "hello":
        raise BadMessage("the first message of a connection is no hello")
    for text in (client, nonce):
        if not isinstance(text, str) or not _is_name(text):
            raise BadMessage("a hello without the client's id and a nonce")
    return str(client), str(nonce)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_CHARACTERS and text.isascii() and text.isprintable()
