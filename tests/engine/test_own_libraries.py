"""What an engine is built on is found where it is installed; see tests/journeys/test_folder.py."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from kernelfleet.engine.own_libraries import NAMES, hold


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is put first on the path after the finder has looked at it."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    hold()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def found(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    return str(spec.origin)


def test_only_our_own_libraries_are_not_found_in_the_folder(
    held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pexpect", "psutil", "numpy", "mine"):
        (held / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert not found("pexpect").startswith(str(held))
    assert not found("psutil").startswith(str(held))
    assert found("numpy").startswith(str(held))
    assert found("mine").startswith(str(held))


def test_a_library_of_ours_that_is_not_installed_may_be_the_users(
    held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelfleet.engine.own_libraries.NAMES", {"not_installed"})
    (held / "not_installed.py").touch()
    assert found("not_installed").startswith(str(held))


#: Of the command line; and of pyzmq on PyPy.
NOT_IN_ENGINES = {"rich", "cffi"}


def needed(distribution: str, seen: set[str]) -> set[str]:
    """A distribution and all that it needs here, without extras."""
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    if name in seen:
        return seen
    if name in NOT_IN_ENGINES:
        return seen
    try:
        requirements = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return seen  # for another platform
    seen.add(name)
    for requirement in requirements:
        if "extra ==" not in requirement:
            needed(re.split(r"[^\w.-]", requirement)[0], seen)
    return seen


def test_every_library_that_we_need_is_named() -> None:
    distributions = needed("kernelfleet", set())
    assert "pexpect" in distributions
    tops = importlib.metadata.packages_distributions()
    names = {
        top
        for top, homes in tops.items()
        if {re.sub(r"[-_.]+", "-", home).lower() for home in homes} & distributions
    }
    public = {name for name in names if name.isidentifier() and not name.startswith("_")}
    assert public - NAMES - set(sys.stdlib_module_names) - {"kernelfleet"} == set()
