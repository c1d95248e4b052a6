"""Whose an embedded fleet is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernelfleet.client.owner import Owner, current_owner, fleet_name, notebook_path
from kernelfleet.wire.files.fleet_paths import check_name

SAY = "from kernelfleet.client.owner import current_owner; print(current_owner())"


def said(*command: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, **environment},
    )  # fmt: skip
    return run.stdout.strip().splitlines()[-1]


def test_a_script_is_known_by_its_path(tmp_path: Path) -> None:
    script = tmp_path / "sweep.py"
    script.write_text(SAY)
    assert said(str(script)) == str(Owner("session", str(script), "sweep"))


def test_a_package_that_is_run_is_known_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "__main__.py").write_text(SAY)
    owner = said("-m", "sweeps", PYTHONPATH=str(tmp_path))
    assert owner.endswith("what='sweeps')")


def test_a_session_has_no_path() -> None:
    assert said("-c", SAY) == str(Owner("session", None, "python"))
    assert said("-m", "IPython", "-c", SAY) == str(Owner("session", None, "ipython"))


def test_a_script_that_a_notebook_runs_is_not_the_notebook(tmp_path: Path) -> None:
    assert "ipynb" not in said("-c", SAY, JPY_SESSION_NAME="/data/a.ipynb")


def test_a_test_is_a_session_of_its_runner() -> None:
    assert current_owner().kind == "session"


@pytest.mark.parametrize(
    ("names", "environment", "path"),
    [
        ({}, {}, None),
        ({}, {"JPY_SESSION_NAME": "/data/a.ipynb"}, "/data/a.ipynb"),
        ({}, {"JPY_SESSION_NAME": "/data/console-1-6b1f"}, None),
        ({"__vsc_ipynb_file__": "/data/b.ipynb"}, {}, "/data/b.ipynb"),
        ({"__vsc_ipynb_file__": 5}, {}, None),
    ],
)
def test_a_kernel_knows_its_notebook_where_the_frontend_tells(
    names: dict[str, object], environment: dict[str, str], path: str | None
) -> None:
    assert notebook_path(names, environment) == path


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("sweep", "sweep-7"),
        ("My sweep (2)", "My-sweep-2-7"),
        ("Übung", "bung-7"),
        ("数据", "fleet-7"),
        ("x" * 200, "x" * 40 + "-7"),
        ("..", "fleet-7"),
    ],
)
def test_a_fleet_is_named_after_its_owner(what: str, name: str) -> None:
    assert fleet_name(what, 7, 1) == check_name(name)
    assert fleet_name(what, 7, 2) == check_name(f"{name}-2")
