"""A page of help: usage, what the command does, its options with their choices, examples."""

from __future__ import annotations

import shutil
from textwrap import dedent, indent, wrap

from traitlets.config import Application

from kernelfleet.cli.parsing import choices, option_names

Row = tuple[str, str]

#: If the names of an option are longer, its description starts on the next line.
MAX_LEFT = 28


def help_lines(app: Application, usage: str, common: type[Application]) -> list[str]:
    """The page of help of one command.

    Args:
        app: The command.
        usage: How it is called: ``kernelfleet stop [NAME] [options]``.
        common: The class whose options every command has; they come last on the page.

    Returns:
        The lines of the page, without their ends.
    """
    columns = max(60, min(100, shutil.get_terminal_size().columns))
    lines = [f"Usage: {usage}"]
    for paragraph in dedent(str(app.description)).strip().split("\n\n"):
        lines += ["", *wrap(paragraph, columns)]
    if app.subcommands:
        width = max(map(len, app.subcommands))
        lines += ["", "Sub-commands:"]
        lines += [f"  {name:<{width}}  {text}" for name, (_, text) in app.subcommands.items()]
    own, everybodys = _option_rows(app, common)
    rows = [*own, *everybodys, ("-h, --help", "Show this."), ("--version", "Show the version.")]
    lines += ["", "Options:", *_two_columns(rows, columns)]
    if app.examples:
        examples = indent(dedent(str(app.examples)).strip(), "  ")
        lines += ["", "Examples:", *examples.splitlines()]
    return [*lines, "", "`--help-all` shows every setting that a configuration file can hold."]


def _two_columns(rows: list[Row], columns: int) -> list[str]:
    """Names on the left, texts on the right, wrapped to the terminal."""
    left_column = min(MAX_LEFT, max(len(left) for left, _ in rows)) + 4
    lines = []
    for left, text in rows:
        wrapped = wrap(text, columns - left_column)
        if len(left) > MAX_LEFT:
            lines.append(f"  {left}")
        else:
            lines.append(f"  {left:<{left_column - 2}}{wrapped.pop(0)}")
        lines += [" " * left_column + line for line in wrapped]
    return lines


def _option_rows(app: Application, common: type[Application]) -> tuple[list[Row], list[Row]]:
    """Names and descriptions of the command's own options, and of those every command has."""
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
