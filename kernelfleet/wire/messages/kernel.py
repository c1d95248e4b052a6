"""What a kernel is asked, and what our own kernels answer: the content of Jupyter messages."""

from typing import Annotated, Any, NotRequired, TypedDict

from kernelfleet.wire.fields import Check, Moment, Size, is_int


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


_COMM_TYPE = Check("comm_msg or comm_close", lambda value: value in ("comm_msg", "comm_close"))


class CommContent(KernelContent):
    """A message of a frontend for a comm of the kernel; its buffers are those of the request."""

    msg_type: Annotated[str, _COMM_TYPE]
    comm_id: str
    data: dict[str, Any]
    metadata: NotRequired[dict[str, Any]]


class IdentityContent(TypedDict):
    """Which engine it is, and of how many; and the same among those of its node."""

    engine_id: int
    n_engines: int
    node: NotRequired[str]
    local_rank: NotRequired[int]
    local_size: NotRequired[int]


class SetupContent(IdentityContent):
    """Its identity, a block of shared memory to try, and what the controller does.

    That is whether it confirms output, and whether it will connect to a socket of packets.
    """

    probe: NotRequired[str]
    secret: NotRequired[str]
    confirms_output: NotRequired[bool]
    packets: NotRequired[bool]


class PeekContent(TypedDict):
    """Names of variables and the most bytes of their values.

    Or ``keys`` for all names, or ``where`` for the call that the engine is in.
    """

    keys: NotRequired[bool]
    where: NotRequired[bool]
    names: NotRequired[list[str]]
    limit_bytes: NotRequired[Size | None]


class InterruptContent(TypedDict):
    """The request to interrupt, and until when (on the machine's monotonic clock).

    The status of the reply is ``aborted`` if it was read later than that, and nothing was done.
    """

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
