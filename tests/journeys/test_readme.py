"""README tells the truth: its examples run in order, and each ``# ->`` shows what comes out."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import kernelfleet

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def python_blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_examples_run_and_give_what_they_say(capsys: Any) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    try:
        for block in python_blocks():
            run_block(block, namespace)
    finally:
        if "fleet" in namespace:
            namespace["fleet"].stop()
    printed = capsys.readouterr().out.splitlines()
    assert printed
    assert all(f"# {line}" in README for line in printed)


def run_block(block: str, namespace: dict[str, Any]) -> None:
    """Run statement by statement, comparing where the line says what the value is."""
    lines = block.splitlines()
    for statement in ast.parse(block).body:
        source = ast.get_source_segment(block, statement) or ""
        shown = lines[(statement.end_lineno or 0) - 1].partition("  # -> ")[2]
        if shown:
            assert (source, repr(eval(source, namespace))) == (source, shown)
        else:
            exec(compile(source, "README.md", "exec"), namespace)


def test_every_option_that_it_names_exists() -> None:
    from kernelfleet.cli.commands.start import Start

    options = {*Start.aliases, *Start.flags}
    for option in ("name", "port", "no-tcp", "kernel", "daemonize"):
        assert option in options
        assert f"--{option}" in README


def test_it_promises_nothing_that_is_not_there() -> None:
    for name in re.findall(r"`mec\.(\w+)", README):
        assert hasattr(kernelfleet.MultiEngineClient, name) or name in {"targets", "block"}


def test_the_test_command_installs_what_the_tests_need() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert 'pip install -e ".[test]" && .venv/bin/python -m pytest' in README
    assert "pytest" in " ".join(extras["test"])
