"""The tools: what a program that speaks MCP can do with fleets, typed and described for it.

A failure of the caller's code, or an engine that died, is an answer like any other. What could not
be done at all (there is no such fleet, no such engine) is a ToolError with the remedy in its text.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ParamSpec, TypeVar

import anyio.to_thread
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from kernelfleet import __version__
from kernelfleet.client import access
from kernelfleet.client.client import MultiEngineClient
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.display import tables
from kernelfleet.errors.text import format_ids, without_colours
from kernelfleet.errors.tree import FleetError
from kernelfleet.mcp import answers, pages
from kernelfleet.mcp.fleets import Fleets
from kernelfleet.wire.files import fleet_paths
from kernelfleet.wire.files.private_files import open_any

P = ParamSpec("P")
R = TypeVar("R")

INSTRUCTIONS = """\
Persistent parallel Python: a fleet is a number of IPython kernels ("engines", numbered from 0) that
run the same cell at the same time, each with variables of its own that stay between calls. Every
engine knows `engine_id` and `n_engines`. Start one with start_fleet, run cells with run_cell, look
at variables with peek (also while a cell runs). Identical outputs are said once: "[0-3] text". A
cell that takes longer than its timeout goes on; read_result waits for it, interrupt ends it.
"""

#: A cell is waited for so many seconds, unless the caller says otherwise, and at most this long.
TIMEOUT_SECONDS = 60.0
MAX_TIMEOUT_SECONDS = 3600.0
#: Seconds that a question to the controller or to an engine may take.
ASK_SECONDS = 30.0

Fleetname = Annotated[
    str | None, Field(description="Name of the fleet; without it the only one that there is.")
]
Engines = Annotated[
    list[int] | None, Field(description="Ids of the engines; without it all of them.")
]
Timeout = Annotated[
    float,
    Field(
        description="Seconds to wait for the end. A cell that takes longer goes on.",
        ge=0,
        le=MAX_TIMEOUT_SECONDS,
    ),
]
Limit = Annotated[
    int,
    Field(
        description="Characters of the answer; read_text gives the rest.",
        ge=1,
        le=pages.MAX_PAGE_CHARACTERS,
    ),
]

_LOOKS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ENDS = ToolAnnotations(destructive_hint=True, open_world_hint=False)


class StrictServer(MCPServer[None]):
    """Refuses arguments that a tool does not have; the SDK (2.3) drops them without a word."""

    async def call_tool(self, name: str, arguments: dict[str, Any], *rest: Any) -> Any:
        """Call a tool.

        Raises:
            ToolError: it has no such argument, or failed.
        """
        tools = {tool.name: tool.input_schema["properties"] for tool in await self.list_tools()}
        for argument in arguments:
            if argument not in tools.get(name, arguments):
                known = ", ".join(tools[name]) or "none"
                raise ToolError(f"{name} has no argument {argument!r}; it has {known}")
        return await super().call_tool(name, arguments, *rest)


def make_server(fleets: Fleets, **options: Any) -> MCPServer[None]:
    """The server with its tools.

    Args:
        fleets: The fleets that the tools use; the caller closes them.
        options: Further arguments of ``MCPServer``.
    """
    server = StrictServer("kernelfleet", instructions=INSTRUCTIONS, version=__version__, **options)
    tools = Tools(fleets)
    for tool, hints in (
        (tools.list_fleets, _LOOKS),
        (tools.start_fleet, None),
        (tools.stop_fleet, _ENDS),
        (tools.fleet_state, _LOOKS),
        (tools.run_cell, None),
        (tools.read_result, _LOOKS),
        (tools.read_text, _LOOKS),
        (tools.peek, _LOOKS),
        (tools.interrupt, _ENDS),
        (tools.restart, _ENDS),
        (tools.timeline, _LOOKS),
        (tools.read_log, _LOOKS),
    ):
        server.tool(annotations=hints, structured_output=False)(_with_remedy(tool))
    return server


class Tools:
    """The tools; their docstrings are what the program at the other end is told."""

    def __init__(self, fleets: Fleets) -> None:
        self._fleets = fleets
        self._pages = pages.Pages()

    async def list_fleets(self) -> str:
        """List the running fleets, and which of them end with this server."""
        found = await anyio.to_thread.run_sync(self._fleets.found)
        if not found:
            return "No fleet is running; start_fleet(n=4) starts one."
        ends = {True: "started here, ends with this server", False: "stays when this server ends"}
        return "\n".join(f"{each.name}: {ends[each.is_own]}" for each in found)

    async def start_fleet(
        self,
        n: Annotated[int, Field(description="How many engines.")] = 4,
        cwd: Annotated[
            str | None, Field(description="The folder in which the engines work.")
        ] = None,
    ) -> str:
        """Start a fleet of n engines, in about half a second. It ends with this server."""
        name = await anyio.to_thread.run_sync(self._fleets.start, n, cwd)
        return f"Fleet {name!r} is ready: engines [{format_ids(range(n))}]."

    async def stop_fleet(
        self, fleet: Annotated[str, Field(description="Name of the fleet.")]
    ) -> str:
        """End a fleet and its engines; their variables are lost."""
        await anyio.to_thread.run_sync(self._fleets.stop, fleet)
        return f"Fleet {fleet!r} has ended."

    async def fleet_state(self, fleet: Fleetname = None) -> str:
        """Show each engine: state, what it runs, queue, memory, CPU."""
        mec = await self._client(fleet)
        engines = await anyio.to_thread.run_sync(functools.partial(mec.engines, cpu=True))
        return answers.table_text(tables.engine_table(engines))

    async def run_cell(
        self,
        code: Annotated[str, Field(description="Python code, as in a notebook cell.")],
        engines: Engines = None,
        fleet: Fleetname = None,
        timeout: Timeout = TIMEOUT_SECONDS,
        limit: Limit = pages.PAGE_CHARACTERS,
    ) -> list[str | Image]:
        """Run a cell on engines at the same time; give back what they print, show and raise.

        Variables stay. The value of the last expression is shown, as in a notebook; pictures
        (matplotlib) come back as images.
        """
        mec = await self._client(fleet)
        targets = "all" if engines is None else engines
        pending = await anyio.to_thread.run_sync(lambda: mec.execute(code, targets, block=False))
        return await self._answer(pending, timeout, limit)

    async def read_result(
        self,
        result_id: Annotated[str, Field(description="The id that run_cell has named.")],
        fleet: Fleetname = None,
        timeout: Timeout = TIMEOUT_SECONDS,
        limit: Limit = pages.PAGE_CHARACTERS,
    ) -> list[str | Image]:
        """Wait further for a cell that goes on; give back everything that it has put out."""
        mec = await self._client(fleet)
        pending = await anyio.to_thread.run_sync(mec.pending_result, result_id)
        return await self._answer(pending, timeout, limit)

    async def read_text(
        self,
        text_id: Annotated[str, Field(description="The id that a long answer has named.")],
        offset: Annotated[int, Field(description="The first character, from 0.", ge=0)],
        limit: Limit = pages.PAGE_CHARACTERS,
    ) -> str:
        """Read on in a long answer."""
        return self._pages.read(text_id, offset, limit)

    async def peek(
        self,
        names: Annotated[list[str], Field(description="Names of variables.", min_length=1)],
        engines: Engines = None,
        fleet: Fleetname = None,
        limit: Limit = pages.PAGE_CHARACTERS,
    ) -> str:
        """Look at variables of engines, also of engines that are busy with a cell."""
        mec = await self._client(fleet)
        targets = "all" if engines is None else engines
        pending = await anyio.to_thread.run_sync(lambda: mec.peek(names, targets, block=False))
        if not await _ended(pending, ASK_SECONDS):
            return f"no answer within {tables.duration(ASK_SECONDS)}: {pending!r}"
        if (error := pending.exception(0)) is not None:
            return self._pages.first("\n".join(answers.error_lines(error)), limit)
        lines = [
            f"[{engine}] {value!r}"
            for engine, value in zip(pending.targets, pending.result(0), strict=True)
        ]
        return self._pages.first("\n".join(lines), limit)

    async def interrupt(self, engines: Engines = None, fleet: Fleetname = None) -> str:
        """Interrupt what engines run, as Ctrl-C does; their variables stay."""
        return await self._control("interrupt", engines, fleet)

    async def restart(self, engines: Engines = None, fleet: Fleetname = None) -> str:
        """Start engines afresh, also those that have died; their variables are lost."""
        return await self._control("restart", engines, fleet)

    async def timeline(
        self,
        last: Annotated[
            float, Field(description="Only what was going on in the last so many seconds.", gt=0)
        ] = 600.0,
        fleet: Fleetname = None,
    ) -> str:
        """Show what each engine has worked on and when: gaps, imbalance, waiting."""
        mec = await self._client(fleet)
        found = await anyio.to_thread.run_sync(mec.timeline, last)
        return without_colours(repr(found))

    async def read_log(
        self,
        engine: Annotated[
            int | None, Field(description="Id of the engine; without it the controller's log.")
        ] = None,
        fleet: Fleetname = None,
        lines: Annotated[int, Field(description="So many of the last lines.", ge=1)] = 100,
        limit: Limit = pages.PAGE_CHARACTERS,
    ) -> str:
        """Read the log of an engine (what it printed outside of cells, and its crash)."""
        mec = await self._client(fleet)
        text = await anyio.to_thread.run_sync(_log_text, mec, engine)
        return self._pages.first(answers.last_lines(text, lines), limit) or "(the log is empty)"

    async def _client(self, fleet: str | None) -> MultiEngineClient:
        return await anyio.to_thread.run_sync(self._fleets.client, fleet)

    async def _answer(
        self, pending: PendingResult[Any], timeout: float, limit: int
    ) -> list[str | Image]:
        await _ended(pending, timeout)
        found = await anyio.to_thread.run_sync(answers.answer, pending, timeout)
        pictures = [Image(data=each.content, format=each.format) for each in found.pictures]
        return [self._pages.first(found.text, limit), *pictures]

    async def _control(self, verb: str, engines: list[int] | None, fleet: str | None) -> str:
        mec = await self._client(fleet)
        call = functools.partial(
            getattr(mec, verb), "all" if engines is None else engines, block=False
        )
        pending: PendingResult[Any] = await anyio.to_thread.run_sync(call)
        if not await _ended(pending, ASK_SECONDS):
            return f"{verb}: no answer within {tables.duration(ASK_SECONDS)}; see fleet_state"
        if (error := pending.exception(0)) is not None:
            return "\n".join(answers.error_lines(error))
        return f"[{format_ids(pending.targets)}] {verb}: done"


def _log_text(mec: MultiEngineClient, engine: int | None) -> str:
    directory = fleet_paths.log_dir(access.fleet_name(mec))
    path = directory / ("controller.log" if engine is None else f"engine-{engine}.log")
    if not path.exists():
        there = ", ".join(sorted(each.name for each in directory.glob("*.log"))) or "none"
        raise FileNotFoundError(f"this fleet has no {path.name}; its logs are: {there}")
    with os.fdopen(open_any(path), "rb") as file:
        return file.read().decode(errors="replace")


async def _ended(pending: PendingResult[Any], timeout: float) -> bool:
    """Wait until a call has ended, without holding a thread; False if it has not in time."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell(_: object) -> None:
        try:
            loop.call_soon_threadsafe(ended.set)
        except RuntimeError:  # the server has ended meanwhile
            return

    pending.add_done_callback(tell)
    with anyio.move_on_after(timeout):
        await ended.wait()
    return pending.done()


def _with_remedy(tool: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The tool, with errors whose text is all that the caller needs, without a traceback."""

    @functools.wraps(tool)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await tool(*args, **kwargs)
        except (FleetError, LookupError, OSError, TypeError, ValueError) as error:
            raise ToolError(f"{type(error).__name__}: {error}") from error

    return wrapped
