"""Writes the parts of the documentation that the sources know better: help texts and settings."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_all(folder: Path) -> None:
    """Write every generated part into a folder, which the pages include from."""
    folder.mkdir(exist_ok=True)
    for name, text in (
        ("commands.md", commands()),
        ("errors.md", exceptions()),
        ("magics.md", magics()),
        ("settings.md", settings()),
    ):
        (folder / name).write_text(text, "utf-8")


#: The options that every sub-command has, which are described once.
_COMMON = ("log-level", "config", "debug", "generate-config", "y", "show-config", "help", "version")


def commands() -> str:
    """The help of every sub-command, and once of what all of them have."""
    from kernelfleet.cli.base import COMMANDS

    help_of_all = _run("--help")
    parts = [
        "## Options of every command",
        _block(_options(help_of_all, common=True)),
        "`--help-all` shows every setting that a [configuration file](settings.md) can hold.",
    ]
    for name, (_, summary) in sorted(COMMANDS.items()):
        text = _run(name, "--help").partition("\n`--help-all`")[0]
        parts += [f"## {name}", summary, _block(_options(text, common=False))]
    return _joined(parts)


def _options(text: str, *, common: bool) -> str:
    """The help without what every command has, or that alone."""
    before, word, rest = text.partition("\nOptions:\n")
    options, blank, after = rest.partition("\n\n")
    entries = re.findall(r"^  -.*\n?(?:^    .*\n?)*", options, re.MULTILINE)
    chosen = [each for each in entries if bool(_names(each) & set(_COMMON)) is common]
    if common:
        return textwrap.dedent("".join(chosen))
    shown = "".join(chosen).rstrip("\n")
    return before + (word + shown if shown else "") + blank + after


def _names(entry: str) -> set[str]:
    """The names of the options that an entry of a help text describes."""
    return set(re.findall(r"(?<![\w-])--?([\w-]+)", entry.strip().partition("   ")[0]))


def exceptions() -> str:
    """A directive for each exception that is imported from the package."""
    import kernelfleet

    public = {name: getattr(kernelfleet, name) for name in kernelfleet.__all__}
    names = [
        name
        for name, each in public.items()
        if isinstance(each, type) and issubclass(each, Exception) and name != "CompositeError"
    ]
    lines = [
        line
        for name in sorted(names)
        for line in (f".. autoexception:: kernelfleet.{name}", "   :show-inheritance:", "")
    ]
    return _joined([_block("\n".join(lines), "{eval-rst}")])


def magics() -> str:
    """The help of every magic that has options."""
    from kernelfleet.notebook.fleet_magic import fleet_parser
    from kernelfleet.notebook.options import cell_parser

    parts = ["## %%px", _block(cell_parser().format_help())]
    for name, parser in _parsers("%fleet", fleet_parser()):
        parts += [f"## {name}", _block(parser.format_help())]
    return _joined(parts)


def settings() -> str:
    """A table for each class of a configuration file: settings, defaults, what they do."""
    from traitlets import import_item

    from kernelfleet.cli.base import COMMANDS

    commands = [import_item(where) for where, _ in COMMANDS.values()]
    parts = []
    for each in dict.fromkeys(other for one in commands for other in (one, *one.classes)):
        traits = each.class_own_traits(config=True)
        rows = [
            f"| `{name}` | {_default(traits[name])} | {_cell(traits[name].help)} |"
            for name in vars(each)  # (in the order in which they are written, which has a sense)
            if name in traits
        ]
        if rows:
            heads = ["| setting | default | what it does |", "| --- | --- | --- |"]
            parts += [f"## c.{each.__name__}", "\n".join(heads + rows)]
    return _joined(parts)


def _default(trait: Any) -> str:
    # that of this machine would say nothing about others
    return "one per core" if trait.name == "n" else f"`{trait.default_value_repr()}`"


def _cell(text: str) -> str:
    """Text as a table's cell has it: in one line, with its own strokes and braces."""
    return " ".join(text.split()).replace("|", "\\|")


def _parsers(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:  # (argparse has no public way to its sub-parsers)
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from _parsers(f"{name} {word}", child)


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "kernelfleet.cli", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.strip()}\n```"


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"
