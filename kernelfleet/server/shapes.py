"""The JSON that the extension answers with, typed. docs/rest.md describes each field.

Times are seconds since the epoch, sizes bytes. A field that is not known is null.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

#: ``failed`` is a fleet whose start failed; it stays in the list until it is deleted.
FleetState = Literal["starting", "running", "unreachable", "stopping", "failed"]


class Problem(TypedDict):
    """Why something did not work, and what to do about it."""

    #: What is wrong, as a sentence.
    message: str
    #: The name of the exception: ``FleetNotFound``.
    reason: str
    #: What to do next.
    remedy: str


class Owner(TypedDict):
    """Who started a fleet, and with whom it ends."""

    #: ``daemon`` outlives who started it; the others end with their process.
    kind: Literal["daemon", "notebook", "session"]
    pid: int
    host: str
    #: The path of the notebook or the script, where it is known.
    path: str | None


class EngineRow(TypedDict):
    """One engine."""

    id: int
    #: ``idle``, ``busy``, ``starting``, ``leaving``, ``stopping``, ``dead``, ``stopped``.
    state: str
    pid: int | None
    #: The machine on which it runs.
    node: str | None
    kernel_name: str | None
    python: str | None
    executable: str | None
    connection_file: str | None
    #: In steps of 1 MiB, so that an engine that does nothing does not change all the time.
    memory_bytes: int | None
    #: 100 is one processor, measured since the last look; null at the first.
    cpu_percent: int | None
    queue: int
    executed: int
    started: float | None
    #: What it runs, and since when.
    running: str | None
    running_since: float | None
    result_id: str | None


class Span(TypedDict):
    """One piece of work on one engine, for the timeline; as the controller tells it."""

    #: They ended in this order; 0 for what runs.
    number: int
    engine: int
    #: The same for all engines of one call, and for all batches of one map.
    call: str
    what: str
    operation: str
    started: float
    #: How long it took; for what runs, how long it has taken so far.
    seconds: float
    #: How long it had waited in the engine's queue.
    waited: float
    #: ``ok``, ``error``, ``interrupted``, ``lost`` or ``running``.
    outcome: str
    error: str


class FleetHead(TypedDict):
    """What is known of a fleet besides its engines."""

    name: str
    state: FleetState
    embedded: bool
    owner: Owner
    pid: int
    host: str
    started: float
    tcp: str | None
    connection_file: str
    cluster: str | None
    #: How many engines are in which state: ``{"idle": 3, "busy": 1}``.
    counts: dict[str, int]
    #: How many machines the engines are on.
    nodes: int
    #: The cell that connects a notebook to it.
    connect: str
    #: Why it does not answer, or why its start failed.
    problem: Problem | None


class Fleet(FleetHead):
    """A fleet with its engines."""

    engines: list[EngineRow]


class FleetList(TypedDict):
    """The answer to ``GET fleets``."""

    version: str
    #: How many engines a new fleet has if nothing is said.
    cores: int
    #: What the field ``cluster`` of ``POST fleets`` may begin with; empty if only this machine.
    clusters: list[str]
    fleets: list[Fleet]


class NewFleet(TypedDict):
    """The body of ``POST fleets``; every field may be left out."""

    name: NotRequired[str]
    n: NotRequired[int]
    kernel: NotRequired[str]
    cwd: NotRequired[str]
    cluster: NotRequired[str]


class EngineLog(TypedDict):
    """The end of the log of an engine, or of the controller."""

    fleet: str
    #: null for the controller.
    engine: int | None
    path: str
    lines: list[str]
    #: Whether the log has more lines than these.
    truncated: bool


class FleetChange(TypedDict):
    """What has changed of one fleet; what is left out is as it was."""

    name: str
    #: Whether what was known of a fleet of this name is to be forgotten.
    new: NotRequired[bool]
    head: NotRequired[FleetHead]
    #: The rows that are new or have changed, each of them whole.
    engines: NotRequired[list[EngineRow]]
    #: The ids of engines that are there no more.
    removed: NotRequired[list[int]]
    #: Spans that have ended, for a page that has asked for the timeline of this fleet.
    spans: NotRequired[list[Span]]
    #: All that runs now, for such a page; what it had before is to be forgotten.
    running: NotRequired[list[Span]]


class Update(TypedDict):
    """A message of the WebSocket."""

    type: Literal["update"]
    #: The server's clock, for how long something has been running.
    now: float
    #: Whether this is everything, so that what was known before is to be forgotten.
    full: bool
    fleets: list[FleetChange]
    #: The names of fleets that have ended.
    gone: list[str]


#: Any JSON value of a request, which is not checked yet.
Json = Any
