"""Completions for the shell, when Tab is pressed: fleets, kernelspecs, choices, options.

A completer returns words. argcomplete calls it with keywords, which are not needed here. Commands
name their completers, so this module is always imported; what it needs is imported only when a
shell asks.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable
from typing import Any

from kernelfleet.cli.parsing import choices

Completer = Callable[..., list[str]]


def nothing(**_: Any) -> list[str]:
    """No completions. Without a completer the shell would offer names of files."""
    return []


def kernelspecs(**_: Any) -> list[str]:
    """The names of the kernelspecs that are installed."""
    from jupyter_client.kernelspec import KernelSpecManager

    return sorted(KernelSpecManager().find_kernel_specs())


def fleets(**_: Any) -> list[str]:
    """The names of the running fleets."""
    from kernelfleet.wire.files.connection_file import find_fleets

    return [fleet.name for fleet in find_fleets()]


def logged_fleets(**_: Any) -> list[str]:
    """The names of the fleets that have logs: running ones, and those that have ended."""
    from kernelfleet.wire.files.fleet_paths import DEFAULT_NAME, log_dir

    with contextlib.suppress(OSError):
        return sorted(path.name for path in log_dir(DEFAULT_NAME).parent.iterdir() if path.is_dir())
    return []


def complete(
    parser: argparse.ArgumentParser,
    classes: list[Any],
    subcommands: Any,
    arguments: Completer | None,
) -> None:
    """Answer the shell, and end the process.

    Args:
        parser: The parser of the command.
        classes: The classes whose settings can be options, as in ``--Limits.queue_length``.
        subcommands: The sub-commands.
        arguments: Completes positional arguments; None completes the names of files.
    """
    for action in parser._actions:
        completer = completer_of(action, classes, arguments)
        if completer is not None:
            action.completer = completer  # type: ignore[attr-defined]
    finder = _finder()
    finder.config_classes = [each for each in classes if each.__module__.startswith("kernelfleet.")]
    finder.subcommands = list(subcommands or [])
    finder(parser, always_complete_options=False)


def completer_of(
    action: argparse.Action, classes: list[Any], arguments: Completer | None
) -> Completer | None:
    """The completer of an option's value, or of the arguments; None for the names of files."""
    if action.dest == "extra_args":
        return arguments
    # traitlets (5.16) has the setting of an option, "Start.n", in the option's metavar.
    owner, _, name = str(action.metavar).rpartition(".")
    for cls in classes:
        trait = cls.class_traits().get(name) if cls.__name__ == owner else None
        if trait is not None and (words := choices(trait)):
            return lambda **_: words
        if trait is not None:
            given: Completer | None = trait.metadata.get("completer", nothing)
            return given
    return None


def _finder() -> Any:
    """The object of traitlets that finds completions, with two changes.

    By itself it offers ``--Application.`` and the like as soon as ``--`` is typed.
    """
    from traitlets.config.argcomplete_config import ExtendedCompletionFinder

    class Finder(ExtendedCompletionFinder):  # type: ignore[misc,unused-ignore]
        def match_class_completions(self, cword_prefix: str) -> list[tuple[Any, str]]:
            """Offer settings only when the name of a class was begun: ``--L``."""
            if not cword_prefix.lstrip("-")[:1].isupper():
                return []
            matches: list[tuple[Any, str]] = super().match_class_completions(cword_prefix)
            return matches

        def _get_option_completions(self, *args: Any) -> list[str]:
            """Leave out ``--n``, which traitlets accepts for ``-n``."""
            words: list[str] = super()._get_option_completions(*args)
            return [word for word in words if not re.fullmatch("--.", word)]

    return Finder()
