from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

CLI = Callable[..., tuple[int, str, str]]


def test_a_kernel_is_installed_with_what_was_chosen(cli: CLI, tmp_path: Path) -> None:
    code, out, err = cli(
        "install-kernel", "-n", "4", "--preload", "numpy,pandas", "--on-start", "x = 1",
        "--prefix", str(tmp_path),
    )  # fmt: skip
    assert (code, err) == (0, "")
    folder = tmp_path / "share" / "jupyter" / "kernels" / "fleet-4"
    assert out == f"Installed the kernel 'Fleet (4 engines)' as fleet-4\n  {folder}\n"
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["argv"][-3:] == ["--engines=4", "--on-start=x = 1", "--preload=numpy,pandas"]


def test_it_may_have_any_name_and_use_a_fleet_that_runs(cli: CLI, home: Path) -> None:
    code, out, _ = cli(
        "install-kernel", "--connect", "sweep", "--name", "s", "--display-name", "My sweep",
        "--user",
    )  # fmt: skip
    assert code == 0
    folder = home / "data_dir" / "kernels" / "s"
    assert out == f"Installed the kernel 'My sweep' as s\n  {folder}\n"
    assert json.loads((folder / "kernel.json").read_text())["argv"][-1] == "--connect=sweep"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["4"], "it takes options only, not 4"),
        (["--connect", "sweep", "-n", "2"], "--connect uses a fleet as it is"),
        (["--user", "--prefix", "x"], "--user and --prefix"),
        (["-n", "0"], "-n takes a whole number, 1 or more"),
        (["--name", "not a name", "--user"], "kernel name"),
    ],
)
def test_mistakes_are_told(cli: CLI, words: list[str], told: str) -> None:
    code, out, err = cli("install-kernel", *words)
    assert (code != 0, out) == (True, "")
    assert told in err
