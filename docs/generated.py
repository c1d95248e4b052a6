"""Writes the parts of the documentation that the sources know better: help texts and settings."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


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


def commands() -> str:
    """The help of every sub-command."""
    from kernelfleet.cli.base import COMMANDS

    parts = []
    for name, (_, summary) in sorted(COMMANDS.items()):
        parts += [f"## {name}", summary, _block(_run(name, "--help"))]
    return _joined(parts)


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
    """The configuration file that ``--generate-config`` writes: every setting and its default."""
    with tempfile.TemporaryDirectory() as folder:
        _run("--generate-config", JUPYTER_CONFIG_DIR=folder)
        (file,) = Path(folder).glob("*.py")
        return _joined([_block(file.read_text("utf-8"), "python")])


def _parsers(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:  # (argparse has no public way to its sub-parsers)
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from _parsers(f"{name} {word}", child)


def _run(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "kernelfleet.cli", *arguments]
    env = {**os.environ, "COLUMNS": "100", **environment}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def _block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.strip()}\n```"


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"
