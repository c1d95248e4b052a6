"""REST: fleets as resources below ``<base_url>/kernelfleet/api``.

Each handler is authenticated, authorized and checked for cross-site requests by Jupyter Server.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from kernelfleet.server import logs, opening, problems
from kernelfleet.server.description import known_clusters
from kernelfleet.server.problems import BadBody
from kernelfleet.server.services import Services, services_of
from kernelfleet.server.starting import check_new_fleet, end_by_force, folder, free_name

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.server.shapes import EngineLog, FleetList
    from kernelfleet.wire.files.connection_file import FleetFile

#: What authorizers are asked about.
AUTH_RESOURCE = "kernelfleet"
#: An answer comes after so many seconds at the latest; what was asked for goes on (202).
PATIENCE = 20.0
#: How long a controller may take to hear that it is to end, and how long its fleet then takes.
ANSWER_SECONDS = 4.0
END_SECONDS = 10.0

Method = Callable[..., Awaitable[None]]
MethodT = TypeVar("MethodT", bound=Method)
Pattern = tuple[str, type[APIHandler]]


def answers_with_json(method: Method) -> Method:
    """Have a method report errors as JSON that says what to do next."""

    @functools.wraps(method)
    async def answer(self: Handler, *args: Any, **kwargs: Any) -> None:
        try:
            await method(self, *args, **kwargs)
        except web.HTTPError:
            raise
        except Exception as error:
            if not problems.is_expected(error):
                self.log.exception(
                    "kernelfleet: %s %s failed", self.request.method, self.request.path
                )
            self.set_status(int(problems.status_of(error)))
            await self.finish(json.dumps(problems.problem(error)))

    return answer


class Handler(APIHandler):
    """What all handlers share."""

    auth_resource = AUTH_RESOURCE

    @property
    def services(self) -> Services:
        """What the handlers of this server share."""
        return services_of(self.settings)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors of Jupyter Server itself (no token, no XSRF cookie) in the form of ours."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        message = getattr(error, "log_message", None) or self._reason
        remedy = problems.remedy_of_status(status_code)
        self.set_header("Content-Type", "application/json")
        self.log.warning("kernelfleet: %s: %s", status_code, message)
        self.finish(json.dumps({"message": message, "reason": self._reason, "remedy": remedy}))

    def json(self) -> Any:
        """The body of the request; None if it is empty."""
        body = self.request.body.strip()
        if not body:
            return None
        try:
            return json.loads(body)
        except ValueError as error:
            raise BadBody(f"the body is no JSON: {error}") from None

    def fields(self, *allowed: str) -> dict[str, Any]:
        """The body of the request, which is a JSON object with no other fields than these."""
        body = self.json()
        if body is None:
            return {}
        if not isinstance(body, dict) or not set(body) <= set(allowed):
            raise BadBody(f"the body is to be a JSON object with {' and '.join(allowed)}")
        return body

    async def file(self, name: str) -> FleetFile:
        """The connection file of a running fleet.

        Raises:
            FleetNotFound: there is none of this name.
        """
        from kernelfleet.errors.tree import FleetNotFound

        running = await self.services.fleets.running()
        if name not in running:
            there = ", ".join(sorted(running)) or "none"
            raise FleetNotFound(f"no fleet {name!r} is running; there is {there}")
        return running[name]

    async def client(self, name: str) -> MultiEngineClient:
        """A client of a running fleet."""
        return await self.services.fleets.client(await self.file(name))

    async def answer_when_done(self, pending: Any, done: Callable[[Any], Any]) -> None:
        """Answer with the outcome of a call, or with 202 if it takes long; it goes on then."""
        try:
            async with asyncio.timeout(PATIENCE):
                value = await pending
        except TimeoutError:
            self.set_status(202)
            await self.finish(json.dumps({"done": False}))
        else:
            await self.finish(json.dumps({"done": True, **done(value)}))


class FleetsHandler(Handler):
    """All fleets."""

    @web.authenticated
    @authorized
    @answers_with_json
    async def get(self) -> None:
        """The running fleets with their engines."""
        import kernelfleet
        from kernelfleet.wire.platforms import number_of_cores

        watching = self.services.watching
        await watching.refresh()
        found = [watching.board.get(name) for name in watching.board.names]
        answer: FleetList = {
            "version": kernelfleet.__version__,
            "cores": number_of_cores(),
            "clusters": known_clusters(),
            "fleets": [fleet for fleet in found if fleet is not None],
        }
        await self.finish(json.dumps(answer))

    @web.authenticated
    @authorized
    @answers_with_json
    async def post(self) -> None:
        """Start a fleet."""
        from kernelfleet.errors.tree import FleetExists
        from kernelfleet.wire.files.fleet_paths import check_name

        new = check_new_fleet(self.json())
        services = self.services
        taken = {*await services.fleets.running(), *services.starts.states}
        name = check_name(new.get("name") or free_name(taken))
        if name in taken:
            raise FleetExists(f"there is a fleet {name!r} already")
        cwd = folder(new.get("cwd"), str(self.settings["server_root_dir"]))
        ready = await services.starts.start(name, new, cwd, PATIENCE)
        await services.watching.refresh()
        self.set_status(201 if ready else 202)
        self.set_header("Location", f"{self.request.path.rstrip('/')}/{name}")
        await self.finish(json.dumps(services.watching.board.get(name)))


class FleetHandler(Handler):
    """One fleet."""

    @web.authenticated
    @authorized
    @answers_with_json
    async def get(self, name: str) -> None:
        """The fleet with its engines."""
        watching = self.services.watching
        await watching.refresh()
        fleet = watching.board.get(name)
        if fleet is None:
            await self.file(name)  # raises, and says which there are
        await self.finish(json.dumps(fleet))

    @web.authenticated
    @authorized
    @answers_with_json
    async def delete(self, name: str) -> None:
        """Stop the fleet, or take a failed start off the list."""
        from kernelfleet.errors.tree import ControllerUnreachable

        if await self.services.starts.forget(name):
            await self.services.watching.refresh()
            self.set_status(204)
            await self.finish()
            return
        file = await self.file(name)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                client = await self.services.fleets.client(file)
                await client.stop_fleet(block=False)
        except (ControllerUnreachable, TimeoutError):
            if file.embedded:  # it is part of a process that does other things, too
                raise
            await end_by_force(name)
        ended = await self.services.fleets.in_thread(_has_ended, name, END_SECONDS)
        opening.sweep_server(self.settings["kernel_manager"])
        await self.services.watching.refresh()
        self.set_status(204 if ended else 202)
        await self.finish()


def _has_ended(name: str, seconds: float) -> bool:
    """Wait until a fleet's name is free again."""
    import time

    from kernelfleet.wire.files.fleet_paths import is_running

    deadline = time.monotonic() + seconds
    while is_running(name):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class ScaleHandler(Handler):
    """How many engines a fleet has."""

    @web.authenticated
    @authorized
    @answers_with_json
    async def post(self, name: str) -> None:
        """Add or remove engines: ``{"n": 6}``."""
        n = self.fields("n").get("n")
        if isinstance(n, bool) or not isinstance(n, int):
            raise BadBody(f'the body is to be {{"n": 6}}, a number of engines, not {n!r}')
        client = await self.client(name)
        await self.answer_when_done(client.scale(n, block=False), lambda ids: {"ids": ids})


class StopWorkHandler(Handler):
    """Interrupting what engines do, and restarting engines."""

    @web.authenticated
    @authorized
    @answers_with_json
    async def post(self, name: str, action: str) -> None:
        """Interrupt or restart engines: ``{"targets": "all"}``, ``{"targets": [0, 2]}``."""
        targets = self.fields("targets").get("targets", "all")
        client = await self.client(name)
        call = client.interrupt if action == "interrupt" else client.restart
        await self.answer_when_done(call(targets, block=False), lambda _: {})
        opening.sweep_server(self.settings["kernel_manager"])


class LogHandler(Handler):
    """The log of an engine, or of the controller."""

    @web.authenticated
    @authorized
    @answers_with_json
    async def get(self, name: str, engine: str | None = None) -> None:
        """The last lines."""
        from kernelfleet.wire.files.fleet_paths import check_name, log_dir

        text = self.get_query_argument("lines", "200")
        if not text.isdecimal() or int(text) > logs.MAX_LINES:
            raise BadBody(f"lines is to be a number up to {logs.MAX_LINES}, not {text!r}")
        file = "controller.log" if engine is None else f"engine-{int(engine)}.log"
        path = log_dir(check_name(name)) / file
        lines, truncated = await self.services.fleets.in_thread(logs.tail, path, int(text))
        if not lines:
            # One that has ended may have logs. Those of a cluster's engines are on their nodes.
            fleet = await self.file(name)
            if engine is not None and fleet.cluster is not None:
                lines = await self._lines_of_node(fleet, int(engine), int(text))
        answer: EngineLog = {
            "fleet": name,
            "engine": None if engine is None else int(engine),
            "path": str(path),
            "lines": lines,
            "truncated": truncated,
        }
        await self.finish(json.dumps(answer))

    async def _lines_of_node(self, fleet: FleetFile, engine: int, lines: int) -> list[str]:
        from kernelfleet.client import access

        client = await self.services.fleets.client(fleet)
        async with asyncio.timeout(PATIENCE):
            return (await access.ask_log(client, engine, lines)).splitlines()


class OpenHandler(Handler):
    """An engine as a kernel of the server, for a notebook or a console."""

    @web.authenticated
    @authorized
    @answers_with_json
    async def post(self, name: str, engine: str) -> None:
        """Have the server list the engine."""
        from kernelfleet.errors.tree import InvalidEngineID

        manager = self.settings["kernel_manager"]
        folder = opening.folder_of(manager)
        in_thread = self.services.fleets.in_thread
        await in_thread(opening.sweep, folder)
        engines = await (await self.client(name)).engines(block=False)
        found = next((each for each in engines if each.id == int(engine)), None)
        if found is None:
            raise InvalidEngineID(f"fleet {name!r} has no engine {engine}")
        # Our own kernel is no installed kernelspec; what it speaks is that of the default one.
        specs = await ensure_async(self.settings["kernel_spec_manager"].find_kernel_specs())
        kernel = found.kernel_name
        if kernel is None or kernel not in specs:
            kernel = manager.default_kernel_name
        if found.state == "dead" or not found.connection_file:
            raise opening.EngineCannotBeOpened(f"engine {engine} is {found.state}")
        copy = await in_thread(
            opening.place, folder, name, found.id, found.pid, found.connection_file, kernel
        )
        kernel_id = opening.kernel_id(manager, copy)
        await self.finish(json.dumps({"kernel_id": kernel_id, "kernel_name": kernel}))


_NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})"
_ONE = rf"/kernelfleet/api/fleets/{_NAME}"

#: By pattern, what answers.
HANDLERS: list[Pattern] = [
    (r"/kernelfleet/api/fleets/?", FleetsHandler),
    (_ONE, FleetHandler),
    (rf"{_ONE}/scale", ScaleHandler),
    (rf"{_ONE}/(?P<action>interrupt|restart)", StopWorkHandler),
    (rf"{_ONE}/log", LogHandler),
    (rf"{_ONE}/engines/(?P<engine>\d{{1,6}})/log", LogHandler),
    (rf"{_ONE}/engines/(?P<engine>\d{{1,6}})/open", OpenHandler),
]
