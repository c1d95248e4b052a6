"""A page of help: usage, what the command does, its options with their choices, examples."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import TYPE_CHECKING

from kernelfleet.cli.parsing import choices, option_names

if TYPE_CHECKING:
    from kernelfleet.cli.base import Command

Row = tuple[str, str]


def help_lines(app: Command, common: type[Command]) -> list[str]:
    """The page of one command.

    Args:
        app: The command.
        common: The class whose options all commands have; they stand last.
    """
    lines = [f"Usage: {app.usage}", "", dedent(str(app.description)).strip()]
    if app.subcommands:
        width = max(map(len, app.subcommands))
        lines += ["", "Sub-commands:"]
        lines += [f"  {name:<{width}}  {text}" for name, (_, text) in app.subcommands.items()]
    own, everybodys = _option_rows(app, common)
    rows = [*own, *everybodys, ("-h, --help", "Show this."), ("--version", "Show the version.")]
    width = max(len(left) for left, _ in rows)
    lines += ["", "Options:"]
    lines += [f"  {left:<{width}}  {text}" for left, text in rows]
    if app.examples:
        lines += ["", "Examples:", indent(dedent(str(app.examples)).strip(), "  ")]
    return [*lines, "", "`--help-all` shows every setting that a configuration file can hold."]


def _option_rows(app: Command, common: type[Command]) -> tuple[list[Row], list[Row]]:
    """What the options are called and what they do: the sub-command's own, and everybody's."""
    own: list[Row] = []
    everybodys: list[Row] = []
    for names, target in app.aliases.items():
        where, text = target if isinstance(target, tuple) else (target, "")
        name = where.split(".")[-1]
        trait = type(app).class_traits()[name]
        words = choices(trait)
        value = f"{{{','.join(words)}}}" if words else name.split("_")[-1].upper()
        row = (f"{option_names(names)} {value}", text or trait.help)
        (everybodys if names in common.aliases else own).append(row)
    for names, (_, text) in app.flags.items():
        (everybodys if names in common.flags else own).append((option_names(names), text))
    return own, everybodys
