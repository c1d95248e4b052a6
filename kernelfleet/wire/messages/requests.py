"""What a client asks: the fields of requests. ``wire/operations.py`` says which asks for what."""

from typing import Any, NotRequired, TypedDict

from kernelfleet.wire.fields import Comms, Seconds, Size, Sizes, Targets


class RequestFields(TypedDict):
    """What every request may hold beside ``type``, ``operation`` and the number ``n``."""

    release: NotRequired[list[str]]
    decode: NotRequired[Any]


class TargetsRequest(RequestFields):
    """A request about some engines."""

    targets: Targets


class QueuedRequest(TargetsRequest):
    """A request that goes through the queues of engines.

    ``payloads`` says how many buffers each group of data has, ``assign`` which group each target
    gets (all get the first where it is missing). ``call`` names the map, or the executor, that
    the request is a part of. ``owner`` is the client that a head asks for: an error clears only
    what is that client's own.
    """

    result_id: str
    content: NotRequired[dict[str, Any]]
    payloads: NotRequired[Sizes]
    assign: NotRequired[Sizes]
    label: NotRequired[str]
    call: NotRequired[str]
    stream: NotRequired[bool]
    keep: NotRequired[bool]
    limit: NotRequired[Seconds | None]
    imports: NotRequired[str]
    imports_text: NotRequired[str]
    owner: NotRequired[str]


class GetResultRequest(TargetsRequest):
    """Which command; None is the last."""

    number: NotRequired[int | None]


class CancelRequest(RequestFields):
    """Which request, and whether engines that work on it are interrupted.

    With ``targets``, all of the request's, it may pass what is for other engines.
    """

    result_id: str
    targets: NotRequired[Targets]
    interrupt: NotRequired[bool]


class ScaleRequest(RequestFields):
    """How many engines; the operation itself says what a fleet can be."""

    engines: Any


class AttachRequest(RequestFields):
    """Which result, and whether its outputs are wanted as they come."""

    of: str
    stream: NotRequired[bool]


class ProgressRequest(RequestFields):
    """Which request; ``brief`` leaves its outputs out, ``where`` adds what its engines are in."""

    result_id: str
    brief: NotRequired[bool]
    where: NotRequired[bool]


class TimelineRequest(RequestFields):
    """Only what ended after the span of this number, and only what is of one call."""

    since: NotRequired[Size]
    call: NotRequired[str | None]


class LogRequest(RequestFields):
    """Which engine, and how many of its last lines."""

    engine: int
    lines: Size


class LocateRequest(RequestFields):
    """A process tag (``process_tags.py``)."""

    mark: str


class PeekRequest(TargetsRequest):
    """Names of variables."""

    names: list[str]


class CompleteRequest(RequestFields):
    """Code, and where the cursor is in it, in characters."""

    engine: int
    code: str
    cursor_pos: Size


class InspectRequest(CompleteRequest):
    """As for completion, and how much is wanted."""

    detail_level: NotRequired[Size]


class InputReplyRequest(RequestFields):
    """What was typed for the ``input()`` of a request on one engine."""

    engine: int
    result_id: str
    value: str


class SetPropertiesRequest(TargetsRequest):
    """Labels and their JSON values."""

    values: dict[str, Any]


class GetPropertiesRequest(TargetsRequest):
    """Which labels; None is all."""

    keys: NotRequired[list[str] | None]


class PropertyKeysRequest(TargetsRequest):
    """Which labels."""

    keys: list[str]


class WatchCommsRequest(RequestFields):
    """The bridge of this client, and the comms that it has already: engine id and comm id.

    ``owner`` is the client of a head, which asks a node.
    """

    bridge: str
    known: NotRequired[Comms]
    owner: NotRequired[str]


class JoinCommRequest(RequestFields):
    """A comm that a bridge wants."""

    bridge: str
    engine: int
    comm_id: str


class CommStatesRequest(RequestFields):
    """A bridge, and of which comms; missing is all that it has."""

    bridge: str
    of: NotRequired[Comms]


class NewEngine(TypedDict):
    """An engine that a node is to start: its kernelspec, and what is added to its environment."""

    id: Size
    kernel: str | None
    env: dict[str, Any]


class AddEnginesRequest(RequestFields):
    """Which engines, of how many in the whole fleet, and what the head calls this node."""

    engines: list[NewEngine]
    count: Size
    node: str


class RecountRequest(RequestFields):
    """How many engines the whole fleet has."""

    count: Size


class NewVariables(TypedDict):
    """What is added to the environment of an engine."""

    id: Size
    env: dict[str, Any]


class VariablesRequest(RequestFields):
    """What engines get in their environment."""

    engines: list[NewVariables]


class OpenWorldRequest(RequestFields):
    """An MPI world of so many ranks, and the socket at which those of a machine report.

    ``names`` are the variables of the launcher's environment.
    """

    socket: str
    size: Size
    names: list[str]


class EndWorldRequest(RequestFields):
    """Why an MPI world ends."""

    reason: str


class JudgeWorldRequest(RequestFields):
    """Who has ended an MPI world, and how: its exit code, negative for a signal, or a text."""

    rank: int | None
    code: int | None
    text: str


class OwnerRequest(RequestFields):
    """A client of the head."""

    owner: str


class FollowRequest(RequestFields):
    """A running request, and who wants to see its output."""

    result_id: str
    follower: str
