"""The operations: what a client can ask of a controller, and a controller of a kernel.

One table each. Validation (``controller/door/validation.py``), the rules of the queue
(``controller/engines/queue.py``), what is sent to which kernel
(``controller/engines/in_flight.py``), what may pass on the way (``lanes.py``) and the tables of
``docs/protocol.md`` read them.

To add an operation, add its row here and, if it has fields of its own, its request in
``messages/``; then write its two ends: the client's method, and a function in
``controller/operations.py``, or, where a kernel is asked, a handler in ``engine/kernel.py`` and in
``engine/portable.py``. Tests say which end is missing. A word that is in no table is refused by
name wherever it arrives, and never does anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kernelfleet.wire.messages import kernel, requests

#: Which kernels can do it: only an engine of this package ("own"); any Python kernel where our
#: modules run ("functions"), any Python kernel ("python"), any Jupyter kernel ("any"); "none" is
#: asked, as the controller answers by itself.
Kernels = Literal["none", "own", "functions", "python", "any"]
#: What a message may pass while another is on its way in parts: everything that has nothing to do
#: with its engines ("engines"), everything, as it only looks ("all"), or nothing ("none").
Passes = Literal["none", "engines", "all"]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client can ask of the controller.

    Attributes:
        name: The word in the header's ``operation``.
        summary: What it does, in a sentence.
        request: The fields of its header.
        kernels: Which kernels can do it.
        passes: What it may pass on its way.
        asks: The request of a kernel that it becomes, in the order of the engine's queue; empty if
            the controller answers at once.
        content: The fields of the header's ``content``, which the kernel gets.
        clears_queue: Whether its failure clears what the same client had queued behind it.
        independent: Whether it survives a failure before it, as it builds on nothing.
        ends_with_client: Whether it is cancelled when its client leaves; nobody else can ask for
            its result then.
        goes_first: Whether it waits before what others have queued: the user has touched a widget.
        needs_imports: Whether objects or code travel, so that the engine must be able to import
            what the client can.
        of_a_head: Whether only the controller of a node does it, asked by its head.
    """

    name: str
    summary: str
    request: type = requests.RequestFields
    kernels: Kernels = "none"
    passes: Passes = "none"
    asks: str = ""
    content: type = kernel.KernelContent
    clears_queue: bool = False
    independent: bool = False
    ends_with_client: bool = False
    goes_first: bool = False
    needs_imports: bool = False
    of_a_head: bool = False

    @property
    def queued(self) -> bool:
        """Whether it waits in the queues of engines."""
        return bool(self.asks)


def _queued(
    name: str,
    summary: str,
    kernels: Kernels,
    *,
    asks: str = "",
    content: type = kernel.KernelContent,
    clears_queue: bool = False,
    part_of_a_map: bool = False,
    goes_first: bool = False,
    needs_imports: bool = True,
) -> Operation:
    return Operation(
        name, summary, requests.QueuedRequest, kernels, "engines", asks or name, content,
        clears_queue, independent=part_of_a_map or goes_first, ends_with_client=part_of_a_map,
        goes_first=goes_first, needs_imports=needs_imports,
    )  # fmt: skip


_TARGETS = requests.TargetsRequest

_OPERATIONS = (
    _queued(
        "execute", "Run a cell or a script.", "any",
        content=kernel.ExecuteContent, clears_queue=True,
    ),
    _queued("push", "Set variables; a dict in the payload.", "python"),
    _queued("pull", "Get variables, or a command's value.", "python", content=kernel.PullContent),
    _queued("apply", "Call a function; its result.", "python", content=kernel.ApplyContent),
    _queued("keys", "The names of the user's variables.", "python", needs_imports=False),
    _queued("reset", "Empty the namespace, and drop what waits.", "python", needs_imports=False),
    _queued(
        "map", "Call a function on a batch of items.", "functions",
        asks="apply", content=kernel.ApplyContent, part_of_a_map=True,
    ),
    _queued(
        "task", "Call a function for an executor.", "functions",
        asks="apply", content=kernel.ApplyContent, part_of_a_map=True,
    ),
    _queued(
        "comm", "Hand a message of a frontend to a comm of the kernel.", "any",
        content=kernel.CommContent, goes_first=True, needs_imports=False,
    ),
    Operation("ping", "Facts about the controller.", passes="all"),
    Operation("engines", "A row for each engine, dead ones too.", passes="all"),
    Operation("queue_status", "What runs and what waits.", _TARGETS, passes="all"),
    Operation("clear_queue", "Drop what waits, whoever queued it.", _TARGETS),
    Operation("get_result", "Finished commands of the history.", requests.GetResultRequest),
    Operation("cancel", "Drop what of a request waits.", requests.CancelRequest, passes="engines"),
    Operation("interrupt", "Interrupt what runs.", _TARGETS, "any", "engines"),
    Operation("restart", "Start engines afresh under their ids.", _TARGETS),
    Operation("kill", "End engines for good.", _TARGETS),
    Operation("scale", "Have so many engines.", requests.ScaleRequest),
    Operation("attach", "An earlier result, now or when it is there.", requests.AttachRequest),
    Operation("progress", "How far a request is.", requests.ProgressRequest, passes="all"),
    Operation(
        "timeline", "What engines worked on, and when.", requests.TimelineRequest, passes="all"
    ),
    Operation("log", "The end of an engine's log.", requests.LogRequest, passes="all"),
    Operation("locate", "The engine that has a process tag.", requests.LocateRequest),
    Operation("peek", "Read variables of busy engines.", requests.PeekRequest, "own", "all"),
    Operation("names", "Names of variables, of engines that answer soon.", _TARGETS, "own"),
    Operation("complete", "Completions.", requests.CompleteRequest, "any", "all"),
    Operation("inspect", "What the name at the cursor is.", requests.InspectRequest, "any", "all"),
    Operation("input_reply", "What the user typed.", requests.InputReplyRequest, "any", "all"),
    Operation("watch_comms", "Tell of comms from now on.", requests.WatchCommsRequest),
    Operation("join_comm", "What opens a comm, and all it names.", requests.JoinCommRequest),
    Operation("comm_states", "Comms as they are now.", requests.CommStatesRequest),
    Operation("set_properties", "Label engines.", requests.SetPropertiesRequest),
    Operation("get_properties", "The labels of engines.", requests.GetPropertiesRequest),
    Operation("has_properties", "Which labels engines have.", requests.PropertyKeysRequest),
    Operation("del_properties", "Remove labels.", requests.PropertyKeysRequest),
    Operation("clear_properties", "Remove all labels.", _TARGETS),
    Operation("shutdown", "End the fleet."),
    Operation(
        "add_engines", "Start engines under these ids.", requests.AddEnginesRequest, of_a_head=True
    ),
    Operation("settle", "Say when no engine starts or is about to be found dead.", of_a_head=True),
    Operation("leave", "End engines when their work is done.", _TARGETS, of_a_head=True),
    Operation("recount", "Tell the size of the fleet.", requests.RecountRequest, of_a_head=True),
    Operation("free_ports", "Two TCP ports that are free at this moment.", of_a_head=True),
    Operation(
        "set_variables", "What engines get in their environment from their next start on.",
        requests.VariablesRequest, of_a_head=True,
    ),
    Operation(
        "open_world", "Have the ranks of a new MPI world report.", requests.OpenWorldRequest,
        of_a_head=True,
    ),
    Operation(
        "end_world", "End all ranks of an MPI world.", requests.EndWorldRequest, of_a_head=True
    ),
    Operation(
        "judge_world", "An MPI world has died: end its ranks, and tell why.",
        requests.JudgeWorldRequest, of_a_head=True,
    ),
    Operation(
        "forget_owner", "End the maps of a client that has left.", requests.OwnerRequest,
        of_a_head=True,
    ),
    Operation(
        "follow", "Show a follower all output of a request.", requests.FollowRequest,
        of_a_head=True,
    ),
)  # fmt: skip

#: What a client can ask, by name.
OPERATIONS = {operation.name: operation for operation in _OPERATIONS}

#: The names of those by which objects or code travel.
NEEDING_IMPORTS = frozenset(each.name for each in _OPERATIONS if each.needs_imports)


@dataclass(frozen=True, slots=True)
class KernelOperation:
    """What the controller asks of a kernel.

    Attributes:
        name: The word in ``fleet_<name>_request``; a portable kernel is asked by it.
        summary: What it does, in a sentence.
        content: The fields of its content.
        channels: On which channels our own kernels take it; none if they do not.
        portable: Whether a Python kernel that is not ours can be asked.
        answered: Whether a reply comes.
    """

    name: str
    summary: str
    content: type = kernel.KernelContent
    channels: tuple[Literal["shell", "control"], ...] = ("shell",)
    portable: bool = False
    answered: bool = True


_CONTROL: tuple[Literal["control"]] = ("control",)

_KERNEL_OPERATIONS = (
    KernelOperation("setup", "Who it is; it tells what it is.", kernel.SetupContent),
    KernelOperation(
        "identity", "Who it is; of how many may change.", kernel.IdentityContent,
        ("shell", "control"), portable=True,
    ),
    KernelOperation("execute", "Run a cell or a script.", kernel.ExecuteContent),
    KernelOperation(
        "apply", "Call the function of the payload.", kernel.ApplyContent, portable=True
    ),
    KernelOperation("push", "Set the variables of the payload.", portable=True),
    KernelOperation("pull", "Values of variables.", kernel.PullContent, portable=True),
    KernelOperation("keys", "The names of the user's variables.", portable=True),
    KernelOperation("reset", "Empty the namespace.", portable=True),
    KernelOperation("comm", "Hand a message of a frontend to a comm.", kernel.CommContent),
    KernelOperation("peek", "Read variables in a thread.", kernel.PeekContent, _CONTROL),
    KernelOperation(
        "interrupt", "Interrupt one request; aborted: too late.", kernel.InterruptContent, _CONTROL
    ),
    KernelOperation(
        "taken", "The reply's shared memory can go.", kernel.TakenContent, _CONTROL,
        answered=False,
    ),
    KernelOperation(
        "read", "So much output was read.", kernel.ReadContent, _CONTROL, answered=False
    ),
    KernelOperation("made", "Name the value of the last cell.", channels=(), portable=True),
    KernelOperation("facts", "What the kernel is.", channels=(), portable=True),
)  # fmt: skip

#: What a kernel is asked, by name.
KERNEL_OPERATIONS = {operation.name: operation for operation in _KERNEL_OPERATIONS}


def message_type(name: str) -> str:
    """The Jupyter message type of a request of our own kernels."""
    return f"fleet_{name}_request"


def why_not_portable(operation: Operation, language: str, no_functions: str | None) -> str:
    """Why a kernel that is not ours cannot do an operation; empty if it can.

    Args:
        operation: What is asked.
        language: What the kernel speaks.
        no_functions: Why functions cannot go there, if they cannot.
    """
    able = ("functions", "python", "any") if language == "python" else ("any",)
    if operation.kernels not in able:
        can = [each for each in _OPERATIONS if each.queued and not each.goes_first]
        names = sorted(each.name for each in can if each.kernels in able)
        return f"only {', '.join(names)}"
    return (no_functions or "") if operation.kernels == "functions" else ""
