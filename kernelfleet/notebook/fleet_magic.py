"""``%fleet``: the magic that starts, finds and manages fleets."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from kernelfleet.client import access, frontend
from kernelfleet.client.client import MultiEngineClient
from kernelfleet.client.frontend import is_notebook
from kernelfleet.client.targets import as_text, parse_targets
from kernelfleet.errors.tree import ControllerUnreachable, FleetError
from kernelfleet.notebook import autopx
from kernelfleet.notebook.attach import choose, console, follow
from kernelfleet.notebook.magics import ParallelMagics
from kernelfleet.notebook.options import HelpAsked, as_arguments, fleet_parser, special, words_of
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


class FleetMagic:
    """The magic of one shell."""

    def __init__(self, state: ShellState) -> None:
        self._state = state

    def fleet(self, line: str) -> Any:
        """Start, find and manage fleets of engines.

        ::

            %fleet start -n 4              start engines; they end with this kernel (--name NAME)
            %fleet start -n 4 --daemon     in a process of their own, which outlives it
            %fleet start -n 4 --mpi        as the ranks of one MPI world
            %fleet start --cluster ADDRESS on the nodes of a cluster (tls://..., ssh:HOST1,HOST2)
            %fleet connect [NAME]          use a running fleet, such as `kernelfleet start` makes
            %fleet status                  what the engines do
            %fleet timeline                what they worked on, and when, as a picture
            %fleet top                     watch what they do, until the stop button or Ctrl-C
            %fleet attach [RESULT_ID]      follow the output of what runs, after a restart too
            %fleet attach 2                a console on engine 2
            %fleet logs [--engine 2]       what was logged
            %fleet scale 8                 have eight engines
            %fleet interrupt [2]           interrupt what engines do (all)
            %fleet cells [NAME | -n 4]     have every cell run on all engines; --off ends that
            %fleet use 0,2                 have magics and calls go to these engines
            %fleet restart [2]             start engines afresh (all)
            %fleet stop                    end the fleet

        ``start`` and ``connect`` leave the client in ``mec`` (``--as NAME``), and the magics
        serve it.
        """
        words = words_of(line)
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
            _start_daemon(options.n, options.name, special(options))
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

            fleet = Fleet(options.n, name=options.name, **special(options))
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

    # -- every cell on the engines --------------------------------------------------------------

    def _cells(self, options: argparse.Namespace) -> None:
        """Have every cell run on all engines of a fleet, or here again.

        It may be said again and again: what is so already stays as it is.
        """
        mode = self._state.autopx
        if options.off:
            if mode is not None:
                autopx.disable(self._state)
            told = "Cells run here again."
        else:
            if options.json and options.name is None and options.n is None:
                return _say(self._cells_state())
            client = self._client_for_cells(options)
            if mode is not None and not (mode.as_cells and mode.suffix == ""):
                autopx.disable(self._state)
            if self._state.autopx is None:
                run = ParallelMagics(self._state, "").run_as_cell
                autopx.enable(self._state, "", run, as_cells=True)
            told = f"Every cell runs on {_engines(client)} of fleet {access.fleet_name(client)!r}."
            told += "\n`%fleet cells --off` ends that; a cell under `%%local` runs here."
        if options.json:
            return _say(self._cells_state())
        return None if options.quiet else _say(told)

    def _cells_state(self) -> str:
        """What a front end wants to know, as JSON."""
        mode, client = self._state.autopx, self._state.clients.get("")
        is_open = client is not None and access.is_open(client)
        state = {
            "cells": "engines" if mode is not None else "here",
            "fleet": access.fleet_name(client) if client is not None and is_open else None,
            "engines": access.engine_ids(client) if client is not None and is_open else [],
            "own": client is not None and any(f.owns(client) for f in self._state.fleets.values()),
        }
        return json.dumps(state)

    def _client_for_cells(self, options: argparse.Namespace) -> MultiEngineClient:
        """The client of the fleet that was named, or of one with so many engines of its own."""
        if options.name is not None and options.n is not None:
            raise UsageError("%fleet cells: either the name of a fleet, or how many engines (-n)")
        client = self._state.clients.get("")
        here = client is not None and access.is_open(client)
        if options.n is not None:
            return self._own_engines(options.n, options.variable)
        if options.name is None:
            return self._client()
        if client is not None and here and access.fleet_name(client) == options.name:
            return client
        client = self._own_client(options.name) or MultiEngineClient(options.name)
        self._give_if_free(client, options.variable)
        return client

    def _own_client(self, name: str) -> MultiEngineClient | None:
        """A client of the fleet of this process that has this name; None if none has."""
        for fleet in self._state.fleets.values():
            if fleet.running:
                client = fleet.client()
                if access.fleet_name(client) == name:
                    return client
                client.close()
        return None

    def _own_engines(self, n: int, variable: str) -> MultiEngineClient:
        """A client of a fleet of this process with so many engines; one that runs is scaled."""
        from kernelfleet.client.fleet import Fleet

        for fleet in self._state.fleets.values():
            client = self._state.clients.get("")
            if fleet.running:
                if client is None or not (fleet.owns(client) and access.is_open(client)):
                    client = fleet.client()
                    self._give_if_free(client, variable)
                if len(access.engine_ids(client)) != n:
                    client.scale(n, block=True)
                return client
        fleet = Fleet(n)
        client = fleet.start()
        self._state.fleets[variable] = fleet
        self._give_if_free(client, variable)
        return client

    def _give_if_free(self, client: MultiEngineClient, name: str) -> None:
        """Have the magics serve a client, and leave it in a variable unless that is the user's."""
        if name in self._state.shell.user_ns and name not in self._state.given_names:
            self._state.clients[""] = client
        else:
            self._give(client, name)

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
        _say(log_text(self._client(), options.engine, options.lines).rstrip("\n"))

    def _scale(self, options: argparse.Namespace) -> None:
        client = self._client()
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


def _start_daemon(n: int | None, name: str, how: Mapping[str, Any] | None = None) -> None:
    command = [sys.executable, "-P", "-m", "kernelfleet.cli", "start", "--daemonize"]
    command += ["--name", name]
    if n is not None:
        command += ["-n", str(n)]
    command += as_arguments(how or {})
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
