"""What the shell is offered when Tab is pressed: fleets, kernelspecs, choices, options.

A completer takes keywords (argcomplete's, which nobody needs here) and returns words. Everything
is imported late: commands name their completers, and are not to be slower for it.
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
    """No words; and no files either, which is what a shell offers by itself."""
    return []


def kernelspecs(**_: Any) -> list[str]:
    """The kernels that are installed."""
    from jupyter_client.kernelspec import KernelSpecManager

    return sorted(KernelSpecManager().find_kernel_specs())


def fleets(**_: Any) -> list[str]:
    """The fleets that run."""
    from kernelfleet.wire.files.connection_file import find_fleets

    return [fleet.name for fleet in find_fleets()]


def logged_fleets(**_: Any) -> list[str]:
    """The fleets that have logs: those that run, and those that have ended."""
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
    """Answer the shell and end.

    Args:
        parser: Knows the options.
        classes: Whose settings can be options, as in ``--Limits.queue_length``.
        subcommands: What can stand first.
        arguments: Offers what stands without an option; None are files.
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
    """Offers the values of one option, or the arguments; None leaves it to the shell: files."""
    if action.dest == "extra_args":
        return arguments
    # traitlets (5.16) names the setting of an option, "Start.n", in the option's metavar
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
    """Traitlets' finder, which by itself offers ``--Application.`` with the first ``--``."""
    from traitlets.config.argcomplete_config import ExtendedCompletionFinder

    class Finder(ExtendedCompletionFinder):  # type: ignore[misc,unused-ignore]
        def match_class_completions(self, cword_prefix: str) -> list[tuple[Any, str]]:
            """Offer settings only to who has begun the name of a class: ``--L``."""
            if not cword_prefix.lstrip("-")[:1].isupper():
                return []
            matches: list[tuple[Any, str]] = super().match_class_completions(cword_prefix)
            return matches

        def _get_option_completions(self, *args: Any) -> list[str]:
            """Leave out ``--n``: traitlets takes it, and nobody is told of it."""
            words: list[str] = super()._get_option_completions(*args)
            return [word for word in words if not re.fullmatch("--.", word)]

    return Finder()
