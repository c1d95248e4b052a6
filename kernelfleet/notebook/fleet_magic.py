"""``%fleet``: the magic that starts, finds and manages fleets."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from kernelfleet.client import access, frontend
from kernelfleet.client.client import MultiEngineClient
from kernelfleet.client.frontend import is_notebook
from kernelfleet.client.targets import as_text, parse_targets
from kernelfleet.errors.tree import ControllerUnreachable, FleetError
from kernelfleet.notebook import autopx
from kernelfleet.notebook.attach import choose, console, follow
from kernelfleet.notebook.options import HelpAsked, Parser, name_of_variable, seconds
from kernelfleet.notebook.running import View
from kernelfleet.notebook.screens import NotebookScreen, Screen, TerminalScreen
from kernelfleet.notebook.shell_state import NO_CLIENT, ShellState
from kernelfleet.notebook.status import Status, log_text, top
from kernelfleet.session import ctrl_c
from kernelfleet.wire.files.fleet_paths import DEFAULT_NAME

if TYPE_CHECKING:
    import argparse

NAME = "fleet"

#: How long a daemon may take until its engines are ready.
START_SECONDS = 120.0


#: The sub-commands, and what ``%fleet --help`` says of each.
VERBS = {
    "start": "start engines",
    "connect": "use a running fleet",
    "status": "what the engines do",
    "timeline": "what the engines worked on, and when",
    "top": "watch what the engines do, until the stop button or Ctrl-C",
    "attach": "follow the output of what runs, or open a console on an engine",
    "logs": "what the controller or an engine has logged",
    "scale": "have another number of engines",
    "interrupt": "interrupt what engines do",
    "use": "have magics and calls go to these engines",
    "restart": "start engines afresh under their ids",
    "stop": "end the fleet",
}


def fleet_parser() -> Parser:
    """The parser of ``%fleet``."""
    parser = Parser(prog="%fleet", description="Start, find and manage fleets of engines.")
    verbs = parser.add_subparsers(dest="verb", metavar="|".join(VERBS), title="what it does")
    parsers = {
        verb: verbs.add_parser(
            verb, prog=f"%fleet {verb}", description=f"{text[0].upper()}{text[1:]}.", help=text
        )
        for verb, text in VERBS.items()
    }
    start, connect, attach = parsers["start"], parsers["connect"], parsers["attach"]
    start.add_argument(
        "-n", "--engines", dest="n", type=int, metavar="N", help="how many (one per processor)"
    )
    start.add_argument(
        "--daemon", action="store_true", help="in a process of their own, which outlives this one"
    )
    start.add_argument("--name", help="by which other processes find it (default for a daemon)")
    connect.add_argument(
        "address", nargs="?", metavar="NAME", help="its name, or the path of its connection file"
    )
    for each in (start, connect):
        each.add_argument(
            "--as", dest="variable", metavar="VARIABLE", default="mec",
            help="where to leave the client (%(default)s)",
        )  # fmt: skip
    parsers["timeline"].add_argument(
        "--last", type=seconds, metavar="SECONDS", help="only the last so many seconds"
    )
    attach.add_argument(
        "result_id", nargs="?", metavar="RESULT_ID|ENGINE",
        help="of what (the only call that runs); a number is that of an engine",
    )  # fmt: skip
    attach.add_argument(
        "-o", "--out", type=name_of_variable, metavar="NAME", help="bind its result"
    )
    parsers["use"].add_argument("chosen", nargs="+", metavar="TARGETS", help="all, 0,2, 1:4, -1:")
    for verb in ("restart", "interrupt"):
        parsers[verb].add_argument("chosen", nargs="*", metavar="TARGETS", help="which (all)")
    parsers["scale"].add_argument("n", type=int, metavar="N", help="how many")
    parsers["top"].add_argument(
        "--for", dest="seconds", type=seconds, metavar="SECONDS", help="end by itself after that"
    )
    logs = parsers["logs"]
    logs.add_argument(
        "-e", "--engine", type=int, metavar="I", help="that of engine I (the controller's)"
    )
    logs.add_argument(
        "-n",
        "--lines",
        type=int,
        default=50,
        metavar="N",
        help="the last so many lines (%(default)s)",
    )
    return parser


class FleetMagic:
    """The magic of one shell."""

    def __init__(self, state: ShellState) -> None:
        self._state = state

    def fleet(self, line: str) -> Any:
        """Start, find and manage fleets of engines.

        ::

            %fleet start -n 4              start engines; they end with this kernel (--name NAME)
            %fleet start -n 4 --daemon     in a process of their own, which outlives it
            %fleet connect [NAME]          use a running fleet, such as `kernelfleet start` makes
            %fleet status                  what the engines do
            %fleet timeline                what they worked on, and when, as a picture
            %fleet top                     watch what they do, until the stop button or Ctrl-C
            %fleet attach [RESULT_ID]      follow the output of what runs, after a restart too
            %fleet attach 2                a console on engine 2
            %fleet logs [--engine 2]       what was logged
            %fleet scale 8                 have eight engines
            %fleet interrupt [2]           interrupt what engines do (all)
            %fleet use 0,2                 have magics and calls go to these engines
            %fleet restart [2]             start engines afresh (all)
            %fleet stop                    end the fleet

        ``start`` and ``connect`` leave the client in ``mec`` (``--as NAME``), and the magics
        serve it.
        """
        words = line.split()
        # A target such as ``-1:`` begins with a dash, but is not an option.
        if words[:1] in (["use"], ["restart"], ["interrupt"]) and not {"-h", "--help"} & set(words):
            words.insert(1, "--")
        try:
            options = fleet_parser().parse_args(words)
        except HelpAsked as help_asked:
            return _say(str(help_asked))
        if options.verb is None:
            return self._status(options)
        return getattr(self, f"_{options.verb}")(options)

    def _start(self, options: argparse.Namespace) -> None:
        if options.n is not None and options.n < 1:
            raise UsageError("%fleet start: a fleet has at least one engine")
        self._check_name(options.variable)
        old = self._state.fleets.get(options.variable)
        if old is not None and old.running:
            raise UsageError(
                f"%fleet start: `{options.variable}` has a running fleet already; end it with "
                "`%fleet stop`, or start another one with --as NAME"
            )
        began = time.monotonic()
        if options.daemon:
            options.name = options.name or DEFAULT_NAME
            _start_daemon(options.n, options.name)
            try:
                client = MultiEngineClient(options.name)
            except ControllerUnreachable as error:
                error.add_note(
                    f"The fleet {options.name!r} has been started and goes on: `%fleet connect "
                    f"{options.name}` tries again, `kernelfleet stop {options.name}` ends it."
                )
                raise
            ends = f"It outlives this {self._place}: `%fleet stop` ends it."
        else:
            from kernelfleet.client.fleet import Fleet

            fleet = Fleet(options.n, name=options.name)
            client = fleet.start()
            self._state.fleets[options.variable] = fleet
            ends = f"It ends with this {self._place} (with --daemon it would not)."
        self._give(client, options.variable)
        _say(
            f"{_engines(client)} ready after {time.monotonic() - began:.1f} s, in "
            f"`{options.variable}`; %%px and %px run code on them.\n{ends}"
        )

    @property
    def _place(self) -> str:
        return "notebook's kernel" if is_notebook(self._state.shell) else "session"

    def _connect(self, options: argparse.Namespace) -> None:
        self._check_name(options.variable)
        client = MultiEngineClient(options.address)
        self._give(client, options.variable)
        _say(f"{_engines(client)} of fleet {access.fleet_name(client)!r}, in `{options.variable}`.")

    def _check_name(self, name: str) -> None:
        """Refuse a name that is no identifier, or that is a variable of the user's."""
        if not name.isidentifier():
            raise UsageError(f"%fleet: --as {name}: that cannot name a variable")
        if name in self._state.shell.user_ns and name not in self._state.given_names:
            if isinstance(self._state.shell.user_ns[name], MultiEngineClient):
                raise UsageError(
                    f"%fleet: `{name}` is a client of yours: `{name}.activate()` has the magics "
                    f"use it; for another fleet add --as NAME, or `del {name}` first"
                )
            raise UsageError(
                f"%fleet: `{name}` is a variable of yours: choose another name with --as NAME, "
                f"or `del {name}` first"
            )

    def _give(self, client: MultiEngineClient, name: str) -> None:
        self._state.clients[""] = client
        self._state.shell.push({name: client})
        self._state.given_names.add(name)

    def _client(self) -> MultiEngineClient:
        client = self._state.clients.get("")
        if client is None:
            raise UsageError(NO_CLIENT)
        return client

    def _status(self, _: argparse.Namespace) -> Any:
        return Status(self._client())

    def _timeline(self, options: argparse.Namespace) -> Any:
        return self._client().timeline(last=options.last)

    def _top(self, options: argparse.Namespace) -> None:
        watched = frontend.current().is_watched()
        top(self._client(), self._state.shell, watched=watched, seconds=options.seconds)

    def _logs(self, options: argparse.Namespace) -> None:
        _say(log_text(self._client(), options.engine, max(0, options.lines)).rstrip("\n"))

    def _scale(self, options: argparse.Namespace) -> None:
        client = self._client()
        if options.n < 1:
            raise UsageError("%fleet scale: a fleet has at least one engine")
        client.scale(options.n, block=True)
        _say(f"{_engines(client)} now.")

    def _interrupt(self, options: argparse.Namespace) -> None:
        client = self._client()
        try:
            targets = parse_targets("".join(options.chosen) or "all", access.engine_ids(client))
        except ValueError as error:
            raise UsageError(f"%fleet interrupt: {error}") from None
        ids = access.resolve_targets(client, targets)
        busy = [engine.id for engine in client.engines() if engine.running and engine.id in ids]
        client.interrupt(ids, block=True)
        _say(f"interrupted: {', '.join(map(str, busy))}" if busy else "nothing ran there")

    def _attach(self, options: argparse.Namespace) -> None:
        client = self._client()
        if (options.result_id or "").isdecimal():
            console(client, int(options.result_id), in_terminal=not is_notebook(self._state.shell))
            return
        result_id = choose(client, options.result_id)
        if result_id is None:
            _say("Nothing runs on these engines that could be followed.")
            return
        screen: Screen = TerminalScreen(permanent=True)
        if is_notebook(self._state.shell):
            screen = NotebookScreen(self._state.shell)
        settings = self._state.settings
        view = View(client, screen, status=client.progress, collapse=bool(settings.collapse))
        value = follow(client, result_id, view)
        if options.out:
            self._state.shell.push({options.out: value})

    def _use(self, options: argparse.Namespace) -> None:
        client = self._client()
        try:
            targets = parse_targets("".join(options.chosen), access.engine_ids(client))
        except ValueError as error:
            raise UsageError(f"%fleet use: {error}") from None
        access.resolve_targets(client, targets)
        client.targets = targets
        _say(f"targets: {as_text(client.targets)}")

    def _restart(self, options: argparse.Namespace) -> None:
        client = self._client()
        everyone = [*access.engine_ids(client), *access.dead_engine_ids(client)]
        try:
            targets = parse_targets("".join(options.chosen) or "all", sorted(everyone))
        except ValueError as error:
            raise UsageError(f"%fleet restart: {error}") from None
        ids = access.resolve_targets(client, targets, allow_dead=True)
        client.restart(ids, block=True)
        _say(f"restarted: {', '.join(map(str, ids))}")

    def _stop(self, _: argparse.Namespace) -> None:
        client = self._state.clients.pop("", None)
        if client is None:
            _say(NO_CLIENT)
            return
        if self._state.autopx is not None:
            autopx.disable(self._state)
        for name, fleet in list(self._state.fleets.items()):
            if fleet.owns(client):
                del self._state.fleets[name]
                fleet.stop()
                break
        else:
            if access.is_open(client):
                client.stop_fleet()
            client.close()
        _say("The fleet has ended.")


def _engines(client: MultiEngineClient) -> str:
    count = len(access.engine_ids(client))
    return "1 engine" if count == 1 else f"{count} engines"


def _start_daemon(n: int | None, name: str) -> None:
    command = [sys.executable, "-P", "-m", "kernelfleet.cli", "start", "--daemonize"]
    command += ["--name", name]
    if n is not None:
        command += ["-n", str(n)]
    with (
        ctrl_c.held() as hold,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as starting,
        # On SIGINT it ends what it has started; if it were killed, that would be left behind.
        hold.giving_up(lambda: starting.send_signal(signal.SIGINT)),
    ):
        try:
            out, complaints = starting.communicate(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            starting.send_signal(signal.SIGINT)
            raise FleetError(f"the fleet was not ready after {START_SECONDS:g} s") from None
    if starting.returncode:
        raise FleetError((complaints or out).strip() or "the fleet did not start")


def _say(text: str) -> None:
    print(text)  # noqa: T201 (what magics do)


def register(state: ShellState) -> None:
    """Register ``%fleet`` in a shell."""
    state.shell.register_magic_function(FleetMagic(state).fleet, "line", NAME)
