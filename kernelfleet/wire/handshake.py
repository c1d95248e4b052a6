"""How a line between client and controller is opened, so that nothing captured can be said again.

::

    client                              controller
    hello {version, client, nonce} -->                        signed with the fleet's key
                                   <--  challenge {nonce, challenge}
    open {session, ...}            -->                        from here on with the line's keys
                                   <--  welcome {session, ...}

A *line* is one connection of a client; a client's *session*, its numbers and what it has not
acknowledged, outlives its lines. The keys of a line come from the fleet's key, the client's id and
what either side has made up for this line alone, and each direction has its own. So a message is
good on one line, in one direction, for one client; anywhere else its signature is wrong. A hello
can be repeated: it is answered with a challenge that is of no use to who does not know the key.

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

#: Everybody's, at the Unix socket.
PLAIN_USERNAME = b"kernelfleet"
#: What a client may call itself, and a nonce be.
MAX_NAME_CHARACTERS = 100


class ConnectionCodecs(NamedTuple):
    """The codecs of one line, by direction."""

    to_controller: Codec
    to_client: Codec


def line_codecs(key: bytes, client: str, nonce: str, challenge: str) -> ConnectionCodecs:
    """The codecs of the line that this hello and this challenge have opened."""

    def derived(direction: str) -> Codec:
        context = json.dumps(["kernelfleet line", direction, client, nonce, challenge])
        return Codec(hmac.digest(key, context.encode(), hashlib.sha256))

    return ConnectionCodecs(derived("to controller"), derived("to client"))


def plain_password(key: bytes) -> str:
    """What a client shows before a Unix socket hears anything of it (ZMQ's PLAIN).

    Not the fleet's key itself: whoever has put a socket of his own there learns nothing from it.
    """
    return hmac.digest(key, b"kernelfleet unix socket", hashlib.sha256).hex()


def new_nonce() -> str:
    """What was never said before."""
    return secrets.token_hex(16)


def read_hello(header: JsonDict) -> tuple[str, str]:
    """The client's id and its nonce.

    Raises:
        BadMessage: it is no hello, or they are missing.
    """
    client, nonce = header.get("client"), header.get("nonce")
    if header["type"] != "hello":
        raise BadMessage("the first message of a line is no hello")
    for text in (client, nonce):
        if not isinstance(text, str) or not _is_name(text):
            raise BadMessage("a hello without the client's id and a nonce")
    return str(client), str(nonce)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_CHARACTERS and text.isascii() and text.isprintable()
