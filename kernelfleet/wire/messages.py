"""The messages between client, controller and engine, each declared once.

The type of a field and whether it may be missing stand here and nowhere else: mypy reads the
annotations, ``fields.py`` makes checks of them, ``operations.py`` says which operation has which
request, and the tables of ``docs/protocol.md`` are generated from all three.

A message between client and controller is a *header*, one JSON object, and buffers of opaque
bytes. A ``TypedDict`` is a plain dict at run time, so types cost nothing on the way. Code that
passes on whatever comes (``codec``, ``sequence``, ``chunks``) takes a header as a ``JsonDict``.

A request has these numbers and names on its way, and each is for one thing:

``n``
    The number of a message in its session and direction, given by ``sequence.py``. It tells what
    was lost with a connection. A reply names the ``n`` of its request in ``to``.
``result_id``
    Made by the client for a request whose result can be asked for later, also by other clients
    and after a reconnection, when all ``n`` are new. The controller knows a request by it.
``msg_id``
    Jupyter's id of the message that the controller sends to one kernel. Replies and outputs name
    it as their parent's. It is new when a kernel is asked again.
position in ``targets``
    A target's result stands where the target stands. An engine that is named twice has two.
"""

from typing import Annotated, Any, NotRequired, TypedDict

from kernelfleet.wire.fields import Check, Moment, Seconds, Size, Sizes, Targets, is_int

#: An object of JSON whose keys are not known beforehand.
JsonDict = dict[str, Any]


# -- the session: handshake, numbers, acknowledgement -------------------------------------------
# docs/protocol.md says what each of these is for.


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
    """Which engines there are, as clients are told."""

    ids: list[int]
    dead: dict[str, str]
    total: int
    pythons: dict[str, str]


class Welcome(TypedDict):
    """The connection is open; what the controller is, and which engines it has."""

    type: str
    version: int
    kernelfleet: str
    boot: str
    shares_memory: bool
    message_bytes: int | None
    name: str
    pid: int
    host: str
    roster: KnownEngines


# -- replies and events -------------------------------------------------------------------------


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


class OutputEvent(TypedDict):
    """What an engine has put out for the request of number ``to``; pages in the buffers."""

    type: str
    event: str
    to: int
    engine: int


# -- requests -----------------------------------------------------------------------------------


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
    gets (all get the first where it is missing).
    """

    result_id: str
    content: NotRequired[dict[str, Any]]
    payloads: NotRequired[Sizes]
    assign: NotRequired[Sizes]
    label: NotRequired[str]
    stream: NotRequired[bool]
    keep: NotRequired[bool]
    limit: NotRequired[Seconds | None]
    imports: NotRequired[str]
    imports_text: NotRequired[str]


class GetResultRequest(TargetsRequest):
    """Which command; None is the last."""

    number: NotRequired[int | None]


class CancelRequest(RequestFields):
    """Which request, and whether engines that work on it are interrupted."""

    result_id: str
    interrupt: NotRequired[bool]


class ScaleRequest(RequestFields):
    """How many engines; the operation itself says what a fleet can be."""

    engines: Any


class AttachRequest(RequestFields):
    """Which result, and whether its outputs are wanted as they come."""

    of: str
    stream: NotRequired[bool]


class ProgressRequest(RequestFields):
    """Which request; ``brief`` leaves its outputs out."""

    result_id: str
    brief: NotRequired[bool]


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


# -- what a kernel is asked ---------------------------------------------------------------------


class KernelContent(TypedDict):
    """What any request of a kernel may hold: what its client can import (by name, once as text)."""

    imports: NotRequired[str]
    imports_text: NotRequired[str]


class ExecuteContent(KernelContent):
    """A cell; ``script_path`` and ``argv`` for a script that runs as ``__main__``."""

    code: str
    allow_stdin: NotRequired[bool]
    store_history: NotRequired[bool]
    script_path: NotRequired[str]
    argv: NotRequired[list[str]]


class PullContent(KernelContent):
    """Names of variables, or the value that command ``number`` made and called ``made``."""

    names: list[str]
    python: NotRequired[str]
    number: NotRequired[int]
    made: NotRequired[str]


class ApplyContent(KernelContent):
    """``python`` is the client's version where it differs from the engine's."""

    python: NotRequired[str]


class IdentityContent(TypedDict):
    """Which engine it is, and of how many."""

    engine_id: int
    n_engines: int


class SetupContent(IdentityContent):
    """Its identity, a block of shared memory to try, and whether output is confirmed."""

    probe: NotRequired[str]
    secret: NotRequired[str]
    confirms_output: NotRequired[bool]


class PeekContent(TypedDict):
    """Names of variables and the most bytes of their values, or ``keys`` for all names."""

    keys: NotRequired[bool]
    names: NotRequired[list[str]]
    limit_bytes: NotRequired[Size | None]


class InterruptContent(TypedDict):
    """The request to interrupt, and until when (on the machine's monotonic clock)."""

    msg_id: str
    until: NotRequired[float]


class TakenContent(TypedDict):
    """The request whose reply's shared memory has been opened."""

    of: str


class ReadContent(TypedDict):
    """How many bytes of output have been read since the last such word."""

    bytes: Size


#: More iopub messages than any command has published.
MAX_IOPUB = 2**53

_STATUS = Check("ok, error or aborted", lambda value: value in ("ok", "error", "aborted", "abort"))
_COUNT = Check(
    f"a count up to {MAX_IOPUB}", lambda value: is_int(value) and 0 <= value <= MAX_IOPUB
)


class KernelReply(TypedDict):
    """The content of a reply of our own kernels; ``n_iopub`` outputs belong to it."""

    status: Annotated[str, _STATUS]
    n_iopub: NotRequired[Annotated[int, _COUNT]]
    number: NotRequired[int | None]
    exiting: NotRequired[bool]
    started: NotRequired[Moment]
    completed: NotRequired[Moment]
    keys: NotRequired[list[str]]
    traceback: NotRequired[list[str]]
    name: NotRequired[str | None]
    ename: NotRequired[str]
    evalue: NotRequired[str]
    kind: NotRequired[str]
    translated: NotRequired[str]
    made: NotRequired[str]
