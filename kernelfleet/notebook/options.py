"""The options of ``%%px``, read from its line. Pure: what they do is in ``magics.py``."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, field
from typing import Any, NoReturn

from IPython.core.error import UsageError


@dataclass
class CellOptions:
    """What the line of ``%%px`` says; None is what client and settings say."""

    targets: str | None = None
    block: bool | None = None
    timeout: float | None = None
    out: str | None = None
    push: list[str] = field(default_factory=list)
    pull: list[str] = field(default_factory=list)
    local: bool = False
    collapse: bool | None = None
    on_error: str = "raise"
    progress: bool | None = None


class Parser(argparse.ArgumentParser):
    """Reads the line of a magic; what is wrong with it is a UsageError."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of ending the process."""
        raise UsageError(f"{self.prog}: {message}\n{self.format_usage().strip()}")

    def read(self, line: str) -> argparse.Namespace:
        """The options of a line.

        Raises:
            UsageError: they make no sense.
        """
        try:
            words = shlex.split(line)
        except ValueError as error:
            self.error(str(error))
        return self.parse_args(_joined(words))


def _joined(words: list[str]) -> list[str]:
    """``-t -1:`` as ``-t=-1:``, which argparse would take for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("-t", "--targets"):
            joined[-1] = f"--targets={word}"
        else:
            joined.append(word)
    return joined


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        _name(name)
    return names


def _name(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} cannot name a variable")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text} s is no time to wait")
    return seconds


def _cell_parser() -> Parser:
    parser = Parser(prog="%%px", add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("-t", "--targets", metavar="TARGETS")
    waiting = parser.add_mutually_exclusive_group()
    waiting.add_argument("-b", "--block", action="store_true", default=None)
    waiting.add_argument("-a", "--noblock", dest="block", action="store_false")
    add("--timeout", type=_seconds, metavar="SECONDS")
    add("-o", "--out", type=_name, metavar="NAME")
    add("--push", type=_names, default=[], metavar="NAMES")
    add("--pull", type=_names, default=[], metavar="NAMES")
    add("--local", action="store_true")
    add("--collapse", action=argparse.BooleanOptionalAction, default=None)
    add("--on-error", choices=("raise", "keep", "show"), default="raise")
    add("--progress", action=argparse.BooleanOptionalAction, default=None)
    return parser


def cell_options(line: str) -> CellOptions:
    """The options on the line of ``%%px``.

    Raises:
        UsageError: they make no sense.
    """
    found: dict[str, Any] = vars(_cell_parser().read(line))
    return CellOptions(**found)
