"""What the shell is offered; tests/cli/test_app.py asks as a shell does."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from traitlets import CaselessStrEnum, Integer, Unicode
from traitlets.config import Configurable

from kernelfleet.cli.completion import completer_of, fleets, kernelspecs, logged_fleets, nothing
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_paths import make_log_dir


class Thing(Configurable):
    policy = CaselessStrEnum(["never", "always"], "never").tag(config=True)
    kernel = Unicode().tag(config=True, completer=kernelspecs)
    n = Integer(1).tag(config=True)


def option(setting: str) -> argparse.Action:
    return argparse.ArgumentParser().add_argument("--it", metavar=setting)


def test_an_option_offers_its_choices_or_what_it_has_been_given() -> None:
    policy = completer_of(option("Thing.policy"), [Thing], None)
    assert policy is not None
    assert policy(prefix="n") == ["never", "always"]
    assert completer_of(option("Thing.kernel"), [Thing], None) is kernelspecs
    assert completer_of(option("Thing.n"), [Thing], None) is nothing
    assert completer_of(option("JupyterApp.config_file"), [Thing], None) is None  # files


def test_arguments_are_offered_by_the_command() -> None:
    arguments = argparse.ArgumentParser().add_argument("extra_args", nargs="*")
    assert completer_of(arguments, [Thing], fleets) is fleets
    assert completer_of(arguments, [Thing], None) is None


def test_fleets_that_run_and_fleets_that_left_logs(running: Callable[..., FleetFile]) -> None:
    assert logged_fleets() == fleets() == []
    running("sweep")
    make_log_dir("sweep")
    make_log_dir("yesterday")
    assert fleets() == ["sweep"]
    assert logged_fleets() == ["sweep", "yesterday"]
