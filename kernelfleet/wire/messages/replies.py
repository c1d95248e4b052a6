"""What the controller tells its clients: replies to requests, and events."""

from typing import Any, NotRequired, TypedDict

from kernelfleet.wire.fields import Moment, Seconds, Size
from kernelfleet.wire.messages.session import KnownEngines


class Refusal(TypedDict):
    """Why the controller has not done what was asked: the name of an exception, and its text."""

    ename: str
    evalue: str


class ErrorInfo(TypedDict):
    """An error of one target.

    ``kind`` is ``user`` (the user's code), ``engine`` (the engine or the controller),
    ``serialization``, ``limit`` or ``busy``.
    """

    ename: str
    evalue: str
    kind: NotRequired[str]
    traceback: NotRequired[list[str]]
    name: NotRequired[str | None]
    exit_code: NotRequired[int | None]
    signal: NotRequired[int | None]
    ran: NotRequired[bool]


class TargetResult(TypedDict):
    """What one target has answered; its frames follow in the order of ``results``."""

    id: int
    ok: bool
    buffers: Size
    outputs: NotRequired[Size]
    value: NotRequired[Any]
    error: NotRequired[ErrorInfo]
    number: NotRequired[int | None]
    translated: NotRequired[str]
    made: NotRequired[str]
    keys: NotRequired[list[str]]
    started: NotRequired[Moment]
    completed: NotRequired[Moment]
    exiting: NotRequired[bool]
    overdue: NotRequired[bool]


class Description(TypedDict):
    """What a request was, for whoever asks for its result later."""

    operation: str
    targets: list[int]
    decode: NotRequired[Any]


class Reply(TypedDict):
    """The answer to the request of number ``to``: one of refused, results and value."""

    type: str
    to: int
    refused: NotRequired[Refusal]
    results: NotRequired[list[TargetResult]]
    value: NotRequired[Any]
    result_id: NotRequired[str]
    describe: NotRequired[Description | None]


class SpanRow(TypedDict):
    """One request on one engine, as ``timeline`` tells it in ``spans`` and ``running``.

    ``call`` is what all batches of a map share, else the ``result_id``. ``started`` is when it was
    sent to the kernel, by the controller's clock, after it had ``waited`` so long. ``outcome`` is
    ``ok``, ``error``, ``interrupted``, ``lost`` (the engine's end) or ``running``.
    """

    number: Size
    engine: int
    call: str
    what: str
    operation: str
    started: Moment
    seconds: Seconds
    waited: Seconds
    outcome: str
    error: str


class OutputEvent(TypedDict):
    """What an engine has put out for the request of number ``to``; pages in the buffers.

    ``follower`` asked a node for what was put out before it came.
    """

    type: str
    event: str
    to: int
    engine: int
    follower: NotRequired[str]


class FollowedEvent(TypedDict):
    """A node has told this follower what was put out so far: the rest is streamed."""

    type: str
    event: str
    to: int
    follower: str


class ListedComm(TypedDict):
    """One comm message of an engine; ``comm_output`` is what an Output widget takes, in pages."""

    engine: int
    msg_type: str
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: Size


class CommsEvent(TypedDict):
    """Comm messages of engines, in their order; their buffers follow in the order of the list."""

    type: str
    event: str
    bridge: str
    messages: list[ListedComm]


class EnginesEvent(TypedDict):
    """Engines have come or gone."""

    type: str
    event: str
    roster: KnownEngines


class WorldEvent(TypedDict):
    """A rank of an MPI world has told its node something, as `provisioners/mpi/rank.py` has it."""

    type: str
    event: str
    said: dict[str, Any]


class EndEvent(TypedDict):
    """The fleet is being stopped (``stopping``), or has been (``stopped``)."""

    type: str
    event: str
    reason: NotRequired[str]
