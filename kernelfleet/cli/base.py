"""What every sub-command has in common: options, configuration file, help, errors and exit codes.

A sub-command is a ``Command`` with traits for its options and a ``work`` that returns an exit
code. This is not the place for what one sub-command alone needs.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from jupyter_core.application import JupyterApp
from traitlets import Integer, TraitError
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from kernelfleet import __version__
from kernelfleet.cli import completion
from kernelfleet.cli.exits import EXIT_OK, UsageError
from kernelfleet.cli.help import help_lines
from kernelfleet.cli.parsing import Loader, check_settings, flat, names_of_settings

_COMMANDS = "kernelfleet.cli.commands."

#: Sub-command: (class, what it does in a line). Imported when used.
COMMANDS: dict[str, tuple[str, str]] = {
    "start": (_COMMANDS + "start.Start", "Start a fleet that outlives notebooks."),
    "stop": (_COMMANDS + "stop.Stop", "Stop a running fleet."),
    "status": (_COMMANDS + "status.Status", "Show the engines of a running fleet."),
    "restart": (
        _COMMANDS + "restart.Restart",
        "Start engines of a running fleet afresh.",
    ),
    "list": (_COMMANDS + "status.ListFleets", "List the running fleets."),
    "logs": (
        _COMMANDS + "logs.Logs",
        "Show what a fleet's controller and engines logged.",
    ),
    "run": (
        _COMMANDS + "run.Run",
        "Run a script or code on every engine of a new fleet.",
    ),
    "demo": (_COMMANDS + "demo.Demo", "See a fleet work, in about ten seconds."),
}


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

    #: Offers what the arguments can be, to a shell that completes; None are files.
    completes_arguments: ClassVar[Any] = completion.nothing

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
        return {f"-{name}" if len(name) == 1 else f"--{name}" for name in flat(self.aliases)}

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
        ours = [each for each in type(self).__mro__ if hasattr(each, "class_traits")]
        options = names_of_settings(self.aliases)
        check_settings(config, [*ours, *self.classes], self, options, self.cli_config)
        try:
            super().update_config(config)
        except TraitError as error:  # of a setting with a rule of its own
            raise UsageError(str(error)) from error

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> Loader:
        loader = Loader(
            argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands
        )
        # Looked up on the class, so that it stays a function and does not become a bound method.
        loader.answer_shell = partial(completion.complete, arguments=type(self).completes_arguments)
        return loader

    def write_default_config(self) -> None:
        """Write the file; where one is, ask, if there is somebody to answer."""
        there = self.config_file or str(Path(self.config_dir, f"{self.config_file_name}.py"))
        try:
            super().write_default_config()
        except EOFError:
            print()  # the question stands on a line without an end
            raise UsageError(f"{there} exists, and is kept; -y writes it anew") from None

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
            print("\n".join(help_lines(self, self.usage, Command)))

    # --- arguments

    def at_most_one_argument(self, what: str) -> str | None:
        """The positional argument, if there is one."""
        if len(self.extra_args) > 1:
            raise UsageError(f"one {what} at most, not {' '.join(self.extra_args)}")
        return self.extra_args[0] if self.extra_args else None


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
