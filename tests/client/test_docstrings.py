"""What the public docstrings promise: every section is there, and every example runs as it says."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kernelfleet
from kernelfleet import Fleet, MultiEngineClient, PendingResult
from kernelfleet.client.executor.executor import FleetExecutor
from tests.fleets import SharedFleets

FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
CLASSES = (MultiEngineClient, PendingResult, FleetExecutor, Fleet)
FUNCTIONS = (kernelfleet.wait, kernelfleet.as_completed)


def public(kind: type) -> Iterator[tuple[str, Any]]:
    """The methods of a class that users call, by their full names; ours only."""
    for name, member in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and member.__module__.startswith("kernelfleet."):
            yield f"{kind.__name__}.{name}", member


METHODS = dict(each for kind in CLASSES for each in public(kind))
DOCUMENTED = {
    **METHODS,
    **{kind.__name__: kind for kind in CLASSES},
    **{function.__name__: function for function in FUNCTIONS},
}

#: Methods without an example, because one would say nothing or would end what all tests share.
WITHOUT_EXAMPLE = {
    "MultiEngineClient.close", "MultiEngineClient.stop_fleet", "PendingResult.cancelled",
    "PendingResult.failed", "PendingResult.flush", "PendingResult.set_result", "Fleet.client",
    "Fleet.owns", "Fleet.stop",
}  # fmt: skip


def section(text: str, title: str) -> str | None:
    """The text of a section of a docstring in Google's style; None if there is no such section."""
    _, found, rest = text.partition(f"\n{title}:\n")
    lines = rest.splitlines()
    end = next((i for i, line in enumerate(lines) if line and line[0] != " "), len(lines))
    return "\n".join(lines[:end]) if found else None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples run: a folder with a module of the user's."""
    (tmp_path / "helpers.py").write_text("def work(x):\n    return 2 * x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("transport", ["unix"])
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", sorted(set(DOCUMENTED) - WITHOUT_EXAMPLE))
def test_the_example_runs(mec: MultiEngineClient, fleets: SharedFleets, name: str) -> None:
    text = inspect.getdoc(DOCUMENTED[name]) or ""
    globs = {"mec": mec, "kernelfleet": kernelfleet, "Fleet": Fleet, "__name__": "__main__"}
    examples = doctest.DocTestParser().get_doctest(text, globs, name, None, 0)
    assert examples.examples, "it has no example"
    assert not any(doctest.SKIP in each.options for each in examples.examples)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(examples, out=report.append, clear_globs=False)
    assert not report, "".join(report)


@pytest.mark.parametrize("name", sorted({**METHODS, "Fleet": Fleet}))
def test_every_parameter_is_described(name: str) -> None:
    documented = DOCUMENTED[name]
    signature = inspect.signature(documented)
    parameters = [each for each in signature.parameters if each != "self"]
    arguments = section(inspect.getdoc(documented) or "", "Args") or ""
    described = [line.strip().partition(":")[0] for line in arguments.splitlines()]
    assert name == "PendingResult.set_result" or not set(parameters) - set(described)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_what_waits_says_what_it_raises(name: str) -> None:
    if "timeout" in inspect.signature(METHODS[name]).parameters and name != "PendingResult.wait":
        raises = section(inspect.getdoc(METHODS[name]) or "", "Raises") or ""
        assert "Timeout" in raises or name.endswith(("executor", "submit_task"))


def test_every_exception_is_needed() -> None:
    assert set(DOCUMENTED) >= WITHOUT_EXAMPLE
