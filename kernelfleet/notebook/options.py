"""The options of ``%%px`` and ``%fleet``, read from their lines. Pure: others act on them."""

from __future__ import annotations

import argparse
import contextlib
import functools
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from IPython.core.error import UsageError


@dataclass
class CellOptions:
    """The options of one ``%%px`` cell.

    Attributes:
        targets: The targets as they were typed; None takes the client's.
        block: Whether to wait; None takes the client's.
        timeout: How many seconds to wait; None means no limit.
        out: The variable for the result; None leaves it unbound.
        push: The variables of this process that are copied to the engines first.
        pull: The variables of the engines that are copied to this process afterwards.
        local: Whether the cell is run here as well.
        collapse: Whether identical outputs of several engines are shown once; None takes the
            setting's.
        on_error: ``raise``, ``keep`` or ``show``.
        progress: Whether to show how many engines are done; None takes the client's.
    """

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


class HelpAsked(Exception):
    """``--help`` was among the options; the text of the exception is to be printed."""


class _Help(argparse.Action):
    """The action of ``-h`` and ``--help``; argparse's own would end the process."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        raise HelpAsked(parser.format_help().rstrip())


class Parser(argparse.ArgumentParser):
    """Reads the line of a magic, and raises UsageError if it is wrong.

    Every parser has ``-h`` and ``--help``, also those of sub-commands.
    """

    def __init__(self, **options: Any) -> None:
        options = {"formatter_class": argparse.RawDescriptionHelpFormatter, **options}
        super().__init__(**{**options, "add_help": False, "allow_abbrev": False})
        self.add_argument("-h", "--help", action=_Help, dest="help", help="show this")

    def option_words(self) -> list[str]:
        """All options that the parser knows, with their dashes, for completion."""
        return sorted(self._option_string_actions)

    def of_verb(self, verb: str) -> Parser:
        """The parser of a sub-command."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found = action.choices[verb]
                assert isinstance(found, Parser)
                return found
        raise KeyError(verb)

    def choices_of(self, option: str) -> list[str]:
        """The values that an option can have; empty if it can have any."""
        action = self._option_string_actions.get(option)
        return [] if action is None or action.choices is None else list(action.choices)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError; argparse's own method would end the process."""
        raise UsageError(f"{self.prog}: {message}\n{self.format_usage().strip()}")

    def read(self, line: str) -> argparse.Namespace:
        """The options of a line.

        Raises:
            UsageError: they make no sense.
            HelpAsked: it is the help that is wanted.
        """
        try:
            words = shlex.split(line)
        except ValueError as error:
            self.error(str(error))
        return self.parse_args(_joined(words))


def _joined(words: list[str]) -> list[str]:
    """Write ``-t -1:`` as ``--targets=-1:``, because argparse would take ``-1:`` for an option."""
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
        name_of_variable(name)
    return names


def name_of_variable(text: str) -> str:
    """A text that names a variable; refused if it cannot."""
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} cannot name a variable")
    return text


def seconds(text: str) -> float:
    """A text that is a number of seconds; refused if it is none."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text} s is no time to wait")
    return number


def at_least(low: int, rule: str) -> Callable[[str], int]:
    """What reads a text that is a whole number from ``low`` on; else the rule says so."""

    def number(text: str) -> int:
        with contextlib.suppress(ValueError):
            if (value := int(text)) >= low:
                return value
        raise argparse.ArgumentTypeError(f"{rule}, not {text!r}")

    return number


number_of_engines = at_least(1, "a fleet has at least one engine")


@functools.cache  # making it takes longer than the call that a cell makes
def cell_parser() -> Parser:
    """The parser of the line of ``%%px``."""
    parser = Parser(
        prog="%%px",
        usage="%(prog)s [options]   (code below)",
        description="Run a cell on the engines and show its output.",
    )
    add = parser.add_argument
    add("-t", "--targets", metavar="TARGETS", help="all, 0, 0,2, 1:4, ::2, -1: (the client's)")
    waiting = parser.add_mutually_exclusive_group()
    waiting.add_argument("-b", "--block", action="store_true", default=None, help="wait")
    waiting.add_argument(
        "-a", "--noblock", dest="block", action="store_false", help="do not wait for the end"
    )
    add("--timeout", type=seconds, metavar="SECONDS", help="wait no longer; the work goes on")
    add(
        "-o", "--out", type=name_of_variable, metavar="NAME",
        help="bind the results, with --noblock the PendingResult",
    )  # fmt: skip
    add("--push", type=_names, default=[], metavar="NAMES", help="first copy these to the engines")
    add("--pull", type=_names, default=[], metavar="NAMES", help="then bind the engines' values")
    add("--local", action="store_true", help="run the cell here as well")
    add(
        "--collapse", action=argparse.BooleanOptionalAction, default=None,
        help="show what is identical on several engines once",
    )  # fmt: skip
    add(
        "--on-error", choices=("raise", "keep", "show"), default="raise",
        help="raise; keep it for --out NAME; show it and go on",
    )  # fmt: skip
    add(
        "--progress", action=argparse.BooleanOptionalAction, default=None,
        help="say how many engines are done",
    )  # fmt: skip
    return parser


def is_option(word: str) -> bool:
    """Whether a word is an option of ``%%px``; ``=`` and a value may follow the option."""
    return word.partition("=")[0] in cell_parser().option_words()


def cell_options(line: str) -> CellOptions:
    """The options on the line of ``%%px``.

    Raises:
        UsageError: An option does not exist, or its value does not fit.
        HelpAsked: ``--help`` was among them.
    """
    found: dict[str, Any] = vars(cell_parser().read(line))
    found.pop("help", None)
    return CellOptions(**found)


#: The sub-commands, and what ``%fleet --help`` says of each.
VERBS = {
    "start": "start engines",
    "connect": "use a running fleet",
    "status": "what the engines do",
    "timeline": "what the engines worked on, and when",
    "top": "watch what the engines do, until the stop button or Ctrl-C",
    "attach": "follow the output of what runs, or open a console on an engine",
    "logs": "what the controller or an engine has logged",
    "scale": "have another number of engines",
    "interrupt": "interrupt what engines do",
    "cells": "have every cell run on all engines, or here again",
    "use": "have magics and calls go to these engines",
    "restart": "start engines afresh under their ids",
    "stop": "end the fleet",
}


def _add_start(start: argparse.ArgumentParser) -> None:
    start.add_argument(
        "-n",
        "--engines",
        dest="n",
        type=number_of_engines,
        metavar="N",
        help="how many (one per processor)",
    )
    start.add_argument(
        "--daemon", action="store_true", help="in a process of their own, which outlives this one"
    )
    start.add_argument(
        "--mpi", action="store_true", help="as the ranks of one MPI world: engine_id is the rank"
    )
    start.add_argument(
        "--mpiexec", metavar="COMMAND", help="which starts the ranks ('srun -n {n}'); a world too"
    )
    start.add_argument(
        "--ranks", action="store_true", help="as the ranks of one job of torch or JAX"
    )
    start.add_argument("--gpus", action="store_true", help="with one of the GPUs each")
    start.add_argument(
        "--cluster", metavar="ADDRESS",
        help="on nodes of a cluster: tls://..., a scheduler file, ssh:HOST1,HOST2, or srun",
    )  # fmt: skip
    start.add_argument("--name", help="by which other processes find it (default for a daemon)")


#: Options of ``%fleet start`` that ``Fleet`` and ``kernelfleet start`` have by the same names.
_SPECIAL = ("mpi", "mpiexec", "ranks", "gpus", "cluster")


def special(options: argparse.Namespace) -> dict[str, Any]:
    """How engines are to be started, where something was given."""
    given = {name: getattr(options, name) for name in _SPECIAL}
    return {name: value for name, value in given.items() if value}


def as_arguments(special: Mapping[str, Any]) -> list[str]:
    """The same as arguments of ``kernelfleet start``."""
    return [
        f"--{name}" if value is True else f"--{name}={value}" for name, value in special.items()
    ]


def words_of(line: str) -> list[str]:
    """The words of a line, where quotes hold several together."""
    try:
        return shlex.split(line)
    except ValueError:  # a quote without its other half
        return line.split()


def fleet_parser() -> Parser:
    """The parser of ``%fleet``."""
    parser = Parser(prog="%fleet", description="Start, find and manage fleets of engines.")
    verbs = parser.add_subparsers(dest="verb", metavar="|".join(VERBS), title="what it does")
    parsers = {
        verb: verbs.add_parser(
            verb, prog=f"%fleet {verb}", description=f"{text[0].upper()}{text[1:]}.", help=text
        )
        for verb, text in VERBS.items()
    }
    _add_cells(parsers["cells"])
    start, connect, attach = parsers["start"], parsers["connect"], parsers["attach"]
    _add_start(start)
    connect.add_argument(
        "address", nargs="?", metavar="NAME", help="its name, or the path of its connection file"
    )
    for each in (start, connect):
        each.add_argument(
            "--as", dest="variable", metavar="VARIABLE", default="mec",
            help="where to leave the client (%(default)s)",
        )  # fmt: skip
    parsers["timeline"].add_argument(
        "--last", type=seconds, metavar="SECONDS", help="only the last so many seconds"
    )
    attach.add_argument(
        "result_id", nargs="?", metavar="RESULT_ID|ENGINE",
        help="of what (the only call that runs); a number is that of an engine",
    )  # fmt: skip
    attach.add_argument(
        "-o", "--out", type=name_of_variable, metavar="NAME", help="bind its result"
    )
    parsers["use"].add_argument("chosen", nargs="+", metavar="TARGETS", help="all, 0,2, 1:4, -1:")
    for verb in ("restart", "interrupt"):
        parsers[verb].add_argument("chosen", nargs="*", metavar="TARGETS", help="which (all)")
    parsers["scale"].add_argument("n", type=number_of_engines, metavar="N", help="how many")
    parsers["top"].add_argument(
        "--for",
        dest="seconds",
        type=seconds,
        metavar="SECONDS",
        help="end by itself after that (in a notebook 600)",
    )
    logs = parsers["logs"]
    logs.add_argument(
        "-e",
        "--engine",
        type=at_least(0, "an engine has a number from 0 on"),
        metavar="I",
        help="that of engine I (the controller's)",
    )
    logs.add_argument(
        "-n",
        "--lines",
        type=at_least(0, "a number of lines is 0 or more"),
        default=50,
        metavar="N",
        help="the last so many lines (%(default)s)",
    )
    return parser


def _add_cells(cells: Parser) -> None:
    add = cells.add_argument
    add("name", nargs="?", metavar="NAME", help="of this fleet (the one that the magics serve)")
    add(
        "-n", "--engines", dest="n", type=number_of_engines, metavar="N",
        help="on N engines of this process",
    )  # fmt: skip
    add("--off", action="store_true", help="run cells here again")
    add("-q", "--quiet", action="store_true", help="say nothing")
    add("--json", action="store_true", help="print where cells run, for programs")
    add("--as", dest="variable", metavar="VARIABLE", default="mec", help="leave the client there")
