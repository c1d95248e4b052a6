"""What stands beside the package agrees with it: recipe, versions, extras, workflow."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import kernelfleet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def floors(requirements: list[str]) -> dict[str, str]:
    """Package -> the highest floor that is asked of it."""
    found: dict[str, str] = {}
    for requirement in requirements:
        match = re.match(r"([\w.-]+)(?:\[.*\])? *>= *([\d.]+)", requirement)
        assert match, f"{requirement} has no floor"
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        found[name] = max(found.get(name, "0"), match[2], key=numbers)
    return found


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_the_conda_recipe_asks_for_what_the_package_asks_for() -> None:
    recipe = (ROOT / "packaging/recipe.yaml").read_text("utf-8")
    run = recipe.partition("  run:\n")[2].partition("\ntests:")[0]
    asked = floors([line.strip(" -") for line in run.splitlines()])
    assert asked.pop("python") == PROJECT["requires-python"].removeprefix(">=")
    assert asked == floors(PROJECT["dependencies"])
    assert f'version: "{kernelfleet.__version__}"' in recipe
    for name, target in PROJECT["scripts"].items():
        assert f"- {name} = {target}" in recipe


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_every_extra_says_what_it_is_for_and_has_floors(extra: str) -> None:
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if re.match(rf"{extra} = \[", line))
    body = lines[begin : lines.index("]", begin)]
    assert any("#" in line for line in body), f"[{extra}] says of nothing why it is there"
    others = [
        each for each in PROJECT["optional-dependencies"][extra] if "kernelfleet[" not in each
    ]
    assert floors(others) is not None


def test_the_changelog_has_the_version_that_is_being_made() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## \[({re.escape(kernelfleet.__version__)}|Unreleased)\]", changelog, re.M)
