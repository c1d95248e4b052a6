from __future__ import annotations

from typing import Any

import pytest
from traitlets import Bool, CaselessStrEnum, Enum, Float, Integer, TraitType, Unicode

from kernelfleet.cli.parsing import choices, names_of_settings, option_names, wanted


@pytest.mark.parametrize(
    ("trait", "words"),
    [
        (Integer(1, min=1), "a whole number, 1 or more"),
        (Integer(1, min=1, max=65535), "a whole number from 1 to 65535"),
        (Integer(None, allow_none=True, min=0), "a whole number, 0 or more"),
        (Integer(7, allow_none=True, min=1), "a whole number, 1 or more, or None"),
        (Integer(1), "a whole number"),
        (Float(1.0, min=0), "a number, 0 or more"),
        (Bool(True), "True or False"),
        (CaselessStrEnum(["never", "on-death"]), "never or on-death"),
        (Enum([10, 20, "DEBUG", "INFO", "WARN"]), "DEBUG, INFO or WARN"),
    ],
)
def test_what_a_setting_takes_is_told_in_words(trait: TraitType[Any, Any], words: str) -> None:
    assert wanted(trait) == words


def test_only_words_are_choices() -> None:
    assert choices(Enum([10, "DEBUG"])) == ["DEBUG"]
    assert choices(Unicode()) == []


def test_options_have_names() -> None:
    assert option_names(("engines", "n")) == "-n, --engines"
    aliases = {("n", "engines"): "Start.n", "config": ("JupyterApp.config_file", "Read this.")}
    assert names_of_settings(aliases) == {"n": "-n", "config_file": "--config"}
