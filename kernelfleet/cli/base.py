"""What all sub-commands share: options, the configuration file, help, errors and exit codes.

A sub-command is a ``Command`` with traits for its options and a method ``work`` that returns an
exit code. What only one sub-command needs stands in the module of that sub-command.
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

#: For each sub-command its class, which is imported when it is used, and what it does.
COMMANDS: dict[str, tuple[str, str]] = {
    "start": (_COMMANDS + "start.Start", "Start a fleet that outlives notebooks."),
    "stop": (_COMMANDS + "stop.Stop", "Stop a running fleet."),
    "status": (_COMMANDS + "status.Status", "Show the engines of a running fleet."),
    "restart": (
        _COMMANDS + "restart.Restart",
        "Start engines of a running fleet afresh.",
    ),
    "top": (_COMMANDS + "top.Top", "Watch a running fleet: what its engines do, live."),
    "scale": (_COMMANDS + "scale.Scale", "Have another number of engines in a running fleet."),
    "interrupt": (_COMMANDS + "interrupt.Interrupt", "Interrupt what engines do."),
    "exec": (_COMMANDS + "exec.Exec", "Run code or a script on engines of a running fleet."),
    "attach": (_COMMANDS + "attach.Attach", "Open a console on an engine of a running fleet."),
    "list": (_COMMANDS + "status.ListFleets", "List the running fleets."),
    "logs": (
        _COMMANDS + "logs.Logs",
        "Show what a fleet's controller and engines logged.",
    ),
    "run": (
        _COMMANDS + "run.Run",
        "Run a script or code on every engine of a new fleet.",
    ),
    "install-kernel": (
        _COMMANDS + "install_kernel.InstallKernel",
        "Make a kernel for notebooks that runs every cell on all engines.",
    ),
    "mcp": (_COMMANDS + "mcp.Mcp", "Serve fleets to agents, by the Model Context Protocol."),
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

    #: Returns completions of the positional arguments; None completes the names of files.
    completes_arguments: ClassVar[Any] = completion.nothing

    def _config_file_name_default(self) -> str:
        return "jupyter_kernelfleet_config"  # one file for all sub-commands

    def _raise_config_file_errors_default(self) -> bool:
        return True  # (a setting that is silently not in force is worse than an error)

    def _log_format_default(self) -> str:
        return "%(asctime)s %(message)s"

    def work(self) -> int:
        """Run the command, and return its exit code."""
        raise UsageError("which sub-command?")

    def options_with_value(self) -> set[str]:
        """The options whose value is the next argument, as they are typed: ``{'-n', ...}``."""
        return {f"-{name}" if len(name) == 1 else f"--{name}" for name in flat(self.aliases)}

    # --- starting. JupyterApp does more: it migrates files of IPython 3, and for `kernelfleet foo`
    # it would run a program `kernelfleet-foo` of the PATH. Neither is wanted here.

    def initialize(self, argv: Any = None) -> None:
        """Parse the command line and read the configuration files; the command line wins."""
        if argv is None:  # (a shell that asks for completions sets environment variables)
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
        except Exception as error:  # (the file is Python code, which may raise anything)
            what = f"{type(error).__name__}: {error}"
            raise UsageError(f"the configuration file does not load: {what}") from error
        self.update_config(from_command_line)

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Parse options. ``-n4`` means ``-n 4``, which traitlets does not support."""
        split: list[str] = []
        for arg in argv or ():
            attached = re.fullmatch(r"(-[A-Za-z])(\d+)", arg)
            split += attached.groups() if attached else [arg]
        super().parse_command_line(split)

    def start(self) -> None:
        """Run the sub-command, or this command if there is none."""
        super().start()  # (raises NoStart after a sub-command, or a written configuration file)
        self.exit_code = self.work()

    def update_config(self, config: Config) -> None:
        """Take over settings; a wrong one is a UsageError, wherever it was set."""
        ours = [each for each in type(self).__mro__ if hasattr(each, "class_traits")]
        options = names_of_settings(self.aliases)
        check_settings(config, [*ours, *self.classes], self, options, self.cli_config)
        try:
            super().update_config(config)
        except TraitError as error:  # (a setting with a validator of its own)
            raise UsageError(str(error)) from error

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> Loader:
        loader = Loader(
            argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands
        )
        # Looked up on the class, so that it stays a function and does not become a bound method.
        loader.answer_shell = partial(completion.complete, arguments=type(self).completes_arguments)
        return loader

    def write_default_config(self) -> None:
        """Write the configuration file; if there is one already, ask before it is replaced."""
        there = self.config_file or str(Path(self.config_dir, f"{self.config_file_name}.py"))
        try:
            super().write_default_config()
        except EOFError:
            print()  # (the question has no line end)
            raise UsageError(f"{there} exists, and is kept; -y writes it anew") from None

    def generate_config_file(self, classes: Any = None) -> str:
        """The text of a configuration file with the settings of all sub-commands."""
        if classes is None:
            commands = [import_item(where) for where, _ in COMMANDS.values()]
            classes = [each for command in commands for each in (command, *command.classes)]
        _, _, settings = super().generate_config_file(classes).partition("\n")
        return f"# Configuration file of kernelfleet.\n{settings}"

    # --- help

    def print_help(self, classes: bool = False) -> None:
        """Print a page of help.

        Args:
            classes: Whether to print every setting, in the form of traitlets.
        """
        if classes:
            super().print_help(classes)
        else:
            print("\n".join(help_lines(self, self.usage, Command)))

    # --- arguments

    def at_most_one_argument(self, what: str) -> str | None:
        """The positional argument; None if there is none.

        Args:
            what: What the argument is, for the error message.

        Raises:
            UsageError: There are several.
        """
        if len(self.extra_args) > 1:
            raise UsageError(f"one {what} at most, not {' '.join(self.extra_args)}")
        return self.extra_args[0] if self.extra_args else None


def unwind_on_signals() -> None:
    """Have SIGINT and SIGTERM unwind the stack, so that a fleet of this process ends.

    Further signals are ignored. They would interrupt the end of the fleet, which takes less than a
    second.
    """

    def unwind(signum: int, _: object) -> NoReturn:
        ignore_signals()
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + signum)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, unwind)


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM from now on."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
