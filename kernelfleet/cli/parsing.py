"""Reads a command line with traitlets' parser, and refuses mistakes in words that users know.

traitlets only warns of options that do not exist. If a value does not fit, it speaks of "traits"
and "instances", but the user has typed an option and wants to know which values it takes.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from traitlets import Bool, Enum, Float, Int, TraitError, TraitType
from traitlets.config import Config, Configurable
from traitlets.config.loader import ArgumentError, KVArgParseConfigLoader

from kernelfleet.cli.exits import UsageError

_NEEDS_A_VALUE = re.compile(r"argument ([^/:]+)[^:]*: expected .*argument")


class Loader(KVArgParseConfigLoader):
    """traitlets' command-line parser; it refuses what the original only warns of."""

    #: Answers a shell that asks for completions: called with the parser, the classes that have
    #: settings, and the sub-commands.
    answer_shell: Callable[[argparse.ArgumentParser, list[Any], Any], None]

    def _create_parser(self) -> None:
        super()._create_parser()
        self.parser.error = self._refuse  # type: ignore[method-assign]

    def _refuse(self, message: str) -> NoReturn:
        if lacking := _NEEDS_A_VALUE.fullmatch(message):
            message = f"{self._as_typed(lacking[1])} needs a value"
        raise UsageError(message)

    def _as_typed(self, name: str) -> str:
        """The name of an option that the user has typed, of all the names that it has."""
        settings = {
            each: str(target)  # (here an alias has no text for the help any more)
            for names, target in self.aliases.items()
            for each in option_names(names).split(", ")
        }
        setting = settings.get(name, name.lstrip("-"))
        same = [each for each, target in settings.items() if target == setting]
        return next((each for each in same if each in self.argv), name)

    def _argcomplete(self, classes: list[Any], subcommands: Any) -> None:
        if "_ARGCOMPLETE" in os.environ:
            self.answer_shell(self.parser, classes, subcommands)

    def _check_options(self) -> None:
        """Refuse unknown options, which traitlets would take for settings without effect."""
        known = {*flat(self.aliases), *flat(self.flags)}
        for arg in takewhile(lambda arg: arg != "--", self.argv):
            name = arg.lstrip("-").partition("=")[0]
            if re.match(r"--?[A-Za-z]", arg) and "." not in name and name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f" (did you mean {option_names(close[0])}?)" if close else ""
                raise UsageError(f"there is no option {arg.partition('=')[0]}{hint}")

    def load_config(self, *args: Any, **kwargs: Any) -> Config:
        """Parse the command line; see traitlets.

        Raises:
            UsageError: The command line is wrong.
        """
        if "_ARGCOMPLETE" not in os.environ:
            self._check_options()
        try:
            return super().load_config(*args, **kwargs)
        except argparse.ArgumentError as error:
            self._refuse(str(error))
        except ArgumentError as error:
            raise UsageError(str(error)) from error


def listed(text: str) -> list[str]:
    """The names in a text such as ``numpy, pandas``."""
    return [name.strip() for name in text.split(",") if name.strip()]


def flat(options: Mapping[Any, Any]) -> Iterator[str]:
    """All names in a table of aliases or flags."""
    for names in options:
        yield from (names,) if isinstance(names, str) else names


def option_names(names: Any) -> str:
    """The names of one option as they are typed, the shortest first: ``-n, --engines``."""
    every = sorted([names] if isinstance(names, str) else names, key=len)
    return ", ".join(f"-{name}" if len(name) == 1 else f"--{name}" for name in every)


def names_of_settings(aliases: Mapping[Any, Any]) -> dict[str, str]:
    """For each setting the option that sets it: ``{"n": "-n"}``.

    Settings are named without their class, because an option may name a class from which the
    command inherits.
    """
    return {
        (target[0] if isinstance(target, tuple) else target).rpartition(".")[2]: option_names(
            names
        ).split(",")[0]
        for names, target in aliases.items()
    }


def check_settings(
    config: Config,
    classes: Iterable[type[Configurable]],
    holder: Any,
    options: Mapping[str, str],
    given: Config,
) -> None:
    """Refuse a setting that does not exist, or whose value does not fit.

    Args:
        config: What was set, on the command line or in a configuration file.
        classes: The classes that have settings here.
        holder: An object for traitlets to check values against.
        options: Setting -> the option that sets it.
        given: What was set on the command line; its mistakes are told by the option's name.

    Raises:
        UsageError: naming the option or the setting, what it takes, and what it was given.
    """
    for cls in classes:
        section = config.get(cls.__name__)
        if not isinstance(section, Config):
            continue
        known = cls.class_traits(config=True)
        for name, value in section.items():
            setting = f"{cls.__name__}.{name}"
            trait = known.get(name)
            if trait is None:
                if cls.__module__.startswith("kernelfleet."):
                    raise UsageError(_no_setting(setting, name, known))
                continue
            on_command_line = name in given.get(cls.__name__, {})
            where = options.get(name, f"--{setting}") if on_command_line else f"c.{setting}"
            if not _fits(trait, holder, value):
                raise UsageError(f"{where} takes {wanted(trait)}, not {_shown(value)}")


def _no_setting(setting: str, name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    owner = setting.partition(".")[0]
    hint = f" (did you mean {owner}.{close[0]}?)" if close else ""
    return f"there is no setting {setting}{hint}"


def _fits(trait: TraitType[Any, Any], holder: Any, value: Any) -> bool:
    if not isinstance(trait, Bool | Enum | Float | Int):
        return True  # (a text, or a kind of value that is better explained by traitlets)
    if value is None and trait.allow_none:
        return True
    try:
        number = trait.validate(holder, value)
    except TraitError:
        return False
    # nan is neither too small nor too large, and a clock cannot wait for inf
    return not isinstance(trait, Float) or math.isfinite(number)


def wanted(trait: TraitType[Any, Any]) -> str:
    """What a setting takes, in words: ``a whole number from 1 to 65535``."""
    if isinstance(trait, Bool):
        words = "True or False"
    elif isinstance(trait, Enum):
        *others, last = choices(trait)
        words = f"{', '.join(others)} or {last}"
    else:
        words = "a whole number" if isinstance(trait, Int) else "a number"
        low, high = getattr(trait, "min", None), getattr(trait, "max", None)
        if low is not None:
            words += f", {low:g} or more" if high in (None, math.inf) else f" from {low} to {high}"
    return f"{words}, or None" if trait.allow_none and trait.default_value is not None else words


def choices(trait: TraitType[Any, Any]) -> list[str]:
    """The values that a setting can have; empty if they cannot be listed."""
    values = trait.values if isinstance(trait, Enum) else None
    return [value for value in values or () if isinstance(value, str)]


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value.strip() else repr(value)
