"""Messages of the session between client and controller, beside requests, replies and events."""

from typing import Any, NotRequired, TypedDict

from kernelfleet.wire.fields import Size


class Hello(TypedDict):
    """The first message of a connection, signed with the fleet's key."""

    type: str
    version: int
    kernelfleet: str
    client: str
    nonce: str


class VersionRefused(TypedDict):
    """The two versions do not go together; the text says what to do."""

    type: str
    reason: str


class Challenge(TypedDict):
    """The answer to a hello; the connection's keys are made of both nonces and the fleet's key."""

    type: str
    nonce: str
    challenge: str


class Open(TypedDict):
    """The first message with the connection's keys: for the named session, or for a new one."""

    type: str
    session: str | None
    ack: Size
    side: NotRequired[bool]
    probe: NotRequired[str]
    secret: NotRequired[str]


class KnownEngines(TypedDict):
    """Which engines there are, as clients are told.

    A node tells its head in ``portable`` of each engine that is not ours what it can be asked.
    """

    ids: list[int]
    dead: dict[str, str]
    total: int
    pythons: dict[str, str]
    portable: NotRequired[dict[str, Any]]


class Welcome(TypedDict):
    """The connection is open; what the controller is, and which engines it has."""

    type: str
    version: int
    kernelfleet: str
    instance: str
    shares_memory: bool
    message_bytes: int | None
    name: str
    pid: int
    host: str
    shares_files: bool
    roster: KnownEngines


class Part(TypedDict):
    """A part of a large message; the first says how many frames and bytes there are in all."""

    type: str
    at: Size
    frames: NotRequired[Size]
    size: NotRequired[Size]


class More(TypedDict):
    """The receiver of parts has so many bytes; the sender may go on."""

    type: str
    received: Size


class Ping(TypedDict):
    """Is somebody there? It acknowledges what was received, as every message does."""

    type: str
    ack: NotRequired[Size]


class Pong(TypedDict):
    """The answer to a ping: what was received, and how many bytes are on their way.

    One that is ``unasked`` only shows the controller whether the connection still exists.
    """

    type: str
    ack: Size
    bytes: Size
    unasked: NotRequired[bool]


class Plain(TypedDict):
    """A message that its type says all about, and what the sender has received."""

    type: str
    ack: NotRequired[Size]


class Void(TypedDict):
    """In the place of a message that was taken back, so that no number is missing."""

    type: str
    n: int
