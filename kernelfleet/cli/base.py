"""What every sub-command has in common: options, configuration file, help, errors and exit codes.

A sub-command is a ``Command`` with traits for its options and a ``work`` that returns an exit
code. This is not the place for what one sub-command alone needs.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import takewhile
from textwrap import dedent, indent
from typing import Any, ClassVar, NoReturn

from jupyter_core.application import JupyterApp
from traitlets import Integer, TraitError
from traitlets.config import Config
from traitlets.config.loader import ArgumentError, KVArgParseConfigLoader
from traitlets.utils.importstring import import_item

from kernelfleet import __version__, errors
from kernelfleet.wire import connection

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ALREADY_RUNNING = 10
EXIT_NOT_RUNNING = 11
EXIT_TIMEOUT = 124
EXIT_SIGINT = 130

#: Sub-command: (class, what it does in a line). Imported when used.
COMMANDS: dict[str, tuple[str, str]] = {
    "start": ("kernelfleet.cli.start.Start", "Start a fleet that outlives notebooks."),
    "stop": ("kernelfleet.cli.stop.Stop", "Stop a running fleet."),
    "status": ("kernelfleet.cli.status.Status", "Show the engines of a running fleet."),
    "restart": ("kernelfleet.cli.restart.Restart", "Start engines of a running fleet afresh."),
    "list": ("kernelfleet.cli.status.ListFleets", "List the running fleets."),
    "logs": ("kernelfleet.cli.logs.Logs", "Show what a fleet's controller and engines logged."),
    "run": ("kernelfleet.cli.run.Run", "Run a script or code on every engine of a new fleet."),
    "demo": ("kernelfleet.cli.demo.Demo", "See a fleet work, in about ten seconds."),
}


class UsageError(Exception):
    """The command line or the configuration file asks for what is not there."""


class _Loader(KVArgParseConfigLoader):
    """traitlets' command-line parser, refusing what it only warns of."""

    def _create_parser(self) -> None:
        super()._create_parser()
        self.parser.error = _refuse  # type: ignore[method-assign]

    def _check_options(self) -> None:
        """Refuse unknown options; traitlets would take any for a setting that has no effect."""
        known = {*_flat(self.aliases), *_flat(self.flags)}
        for arg in takewhile(lambda arg: arg != "--", self.argv):
            name = arg.lstrip("-").partition("=")[0]
            if re.match(r"--?[A-Za-z]", arg) and "." not in name and name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f" (did you mean {_option_names(close[0])}?)" if close else ""
                raise UsageError(f"there is no option {arg.partition('=')[0]}{hint}")

    def load_config(self, *args: Any, **kwargs: Any) -> Config:
        self._check_options()
        try:
            return super().load_config(*args, **kwargs)
        except (ArgumentError, argparse.ArgumentError) as error:
            raise UsageError(str(error)) from error


def _flat(options: dict[Any, Any]) -> Iterator[str]:
    for names in options:
        yield from (names,) if isinstance(names, str) else names


def _refuse(message: str) -> NoReturn:
    raise UsageError(message)


class Command(JupyterApp):
    """Base of the application and of its sub-commands."""

    version = __version__
    usage: ClassVar[str] = ""

    aliases: dict[Any, Any] = {
        "log-level": JupyterApp.aliases["log-level"],
        "config": ("JupyterApp.config_file", "Read this configuration file."),
    }
    flags: dict[Any, Any] = {
        "debug": (JupyterApp.flags["debug"][0], "Log everything."),
        "generate-config": (
            JupyterApp.flags["generate-config"][0],
            "Write a configuration file that holds every setting and its default.",
        ),
        "y": (JupyterApp.flags["y"][0], "Answer yes to questions."),
        "show-config": (JupyterApp.flags["show-config"][0], "Show the settings in force."),
    }

    exit_code = Integer(EXIT_OK)

    def _config_file_name_default(self) -> str:
        return "jupyter_kernelfleet_config"  # one file for all sub-commands

    def _raise_config_file_errors_default(self) -> bool:
        return True  # what was configured and is not in force is worse than an error

    def _log_format_default(self) -> str:
        return "%(asctime)s %(message)s"

    def work(self) -> int:
        """Do what the command is for and return the exit code."""
        raise UsageError("which sub-command?")

    def options_with_value(self) -> set[str]:
        """The options that take the next argument as their value, as they are typed."""
        return {f"-{name}" if len(name) == 1 else f"--{name}" for name in _flat(self.aliases)}

    # --- the life of an application, shorter than JupyterApp's: nothing to migrate from IPython 3,
    # and `kernelfleet foo` does not run whatever `kernelfleet-foo` is on the PATH

    def initialize(self, argv: Any = None) -> None:
        """Parse the command line, then read the configuration files; the former wins."""
        if argv is None:  # what a shell wants completed stands in the environment
            argv = self._get_sys_argv(check_argcomplete=True)[1:]
        self.parse_command_line(list(argv))
        if self._dispatching:
            return
        from_command_line = Config(self.config)
        named = self.config_file
        there = any(os.path.isfile(named + ending) for ending in ("", ".py", ".json"))
        if named and not there and not self.generate_config:
            raise UsageError(f"there is no configuration file {named}")
        try:
            self.load_config_file(suppress_errors=False)
        except UsageError:
            raise
        except Exception as error:  # the file is Python: anything can happen
            what = f"{type(error).__name__}: {error}"
            raise UsageError(f"the configuration file does not load: {what}") from error
        self.update_config(from_command_line)

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Parse options; ``-n4`` is ``-n 4``, which traitlets does not know."""
        split: list[str] = []
        for arg in argv or ():
            attached = re.fullmatch(r"(-\w)(\d+)", arg)
            split += attached.groups() if attached else [arg]
        super().parse_command_line(split)

    def start(self) -> None:
        """Run the sub-command, or this one."""
        super().start()  # NoStart if there is a sub-command or a configuration file to write
        self.exit_code = self.work()

    def update_config(self, config: Config) -> None:
        """Take settings over; a bad one is a usage error, wherever it came from."""
        try:
            super().update_config(config)
        except TraitError as error:
            raise UsageError(str(error)) from error

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> _Loader:
        return _Loader(
            argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands
        )

    def generate_config_file(self, classes: Any = None) -> str:
        """The settings of all sub-commands: they share the file."""
        if classes is None:
            commands = [import_item(where) for where, _ in COMMANDS.values()]
            classes = [each for command in commands for each in (command, *command.classes)]
        _, _, settings = super().generate_config_file(classes).partition("\n")
        return f"# Configuration file of kernelfleet.\n{settings}"

    # --- help

    def print_help(self, classes: bool = False) -> None:
        """Print a page of help; with ``classes``, traitlets' own full account."""
        if classes:
            super().print_help(classes)
        else:
            print("\n".join(_help_lines(self)))

    # --- arguments

    def at_most_one_argument(self, what: str) -> str | None:
        """The positional argument, if there is one."""
        if len(self.extra_args) > 1:
            raise UsageError(f"one {what} at most, not {' '.join(self.extra_args)}")
        return self.extra_args[0] if self.extra_args else None


def _help_lines(app: Command) -> list[str]:
    lines = [f"Usage: {app.usage}", "", dedent(str(app.description)).strip()]
    if app.subcommands:
        width = max(map(len, app.subcommands))
        lines += ["", "Sub-commands:"]
        lines += [f"  {name:<{width}}  {text}" for name, (_, text) in app.subcommands.items()]
    own, common = _option_rows(app)
    rows = [*own, *common, ("-h, --help", "Show this."), ("--version", "Show the version.")]
    width = max(len(left) for left, _ in rows)
    lines += ["", "Options:"]
    lines += [f"  {left:<{width}}  {text}" for left, text in rows]
    if app.examples:
        lines += ["", "Examples:", indent(dedent(str(app.examples)).strip(), "  ")]
    return [*lines, "", "`--help-all` shows every setting that a configuration file can hold."]


def _option_names(names: Any) -> str:
    every = sorted([names] if isinstance(names, str) else names, key=len)
    return ", ".join(f"-{name}" if len(name) == 1 else f"--{name}" for name in every)


def _option_rows(app: Command) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What the options are called and what they do: the sub-command's own, and everybody's."""
    own: list[tuple[str, str]] = []
    common: list[tuple[str, str]] = []
    for names, target in app.aliases.items():
        where, text = target if isinstance(target, tuple) else (target, "")
        trait_name = where.split(".")[-1]
        text = text or type(app).class_traits()[trait_name].help
        row = (f"{_option_names(names)} {trait_name.split('_')[-1].upper()}", text)
        (common if names in Command.aliases else own).append(row)
    for names, (_, text) in app.flags.items():
        (common if names in Command.flags else own).append((_option_names(names), text))
    return own, common


def complain(message: str, command: str = "kernelfleet") -> None:
    """Say on stderr, in one line, what went wrong."""
    print(f"{command}: {' '.join(message.split())}", file=sys.stderr)


def exit_code_of(error: BaseException) -> int:
    """The exit code that tells a script what went wrong."""
    if isinstance(error, errors.FleetExists):
        return EXIT_ALREADY_RUNNING
    if isinstance(error, errors.FleetNotFound):
        return EXIT_NOT_RUNNING
    if isinstance(error, TimeoutError):
        return EXIT_TIMEOUT
    if isinstance(error, KeyboardInterrupt):
        return EXIT_SIGINT
    return EXIT_FAILED


def find_fleet(name: str | None) -> connection.FleetFile:
    """The running fleet called ``name``; without a name `default`, else the only one running.

    Raises:
        FleetNotFound: there is none, or several to choose from.
    """
    if name is None:
        return connection.find_default()
    running = connection.find_fleets()
    for fleet in running:
        if fleet.name == name:
            return fleet
    others = ", ".join(fleet.name for fleet in running)
    raise errors.FleetNotFound(
        f"no fleet {name!r} is running ({f'running: {others}' if others else 'there is none'}); "
        f"start it with `kernelfleet start --name {name}`"
    )


def unwind_on_signals() -> None:
    """Let SIGINT and SIGTERM unwind the stack once, so that a fleet of this process ends.

    Further ones are ignored: they would cut short the end of the fleet, which takes no second.
    """

    def unwind(signum: int, _: object) -> NoReturn:
        ignore_signals()
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + signum)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, unwind)


def ignore_signals() -> None:
    """Let neither SIGINT nor SIGTERM cut short what is under way."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
