"""The table of operations, and that each has its ends."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import kernelfleet
from kernelfleet.controller import operations as controllers
from kernelfleet.engine import portable
from kernelfleet.node import operations as nodes
from kernelfleet.wire.fields import fields_of
from kernelfleet.wire.operations import (
    KERNEL_OPERATIONS,
    NEEDING_IMPORTS,
    OPERATIONS,
    KernelOperation,
    Operation,
    message_type,
    why_not_portable,
)
from tests import protocol_page

PACKAGE = Path(kernelfleet.__file__).parent

by_name = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))


@by_name
def test_each_has_its_end_in_the_controller_or_asks_a_kernel_that_has_one(
    operation: Operation,
) -> None:
    if operation.of_a_head:
        assert operation.name in nodes.CALLS
    elif operation.queued:
        assert KERNEL_OPERATIONS[operation.asks].channels == ("shell",)
    else:
        assert operation.name in controllers.CALLS
    assert operation.summary.endswith(".")


def test_the_controller_answers_nothing_that_is_not_in_the_table() -> None:
    every = OPERATIONS.values()
    asked_by_clients = {each.name for each in every if not each.queued and not each.of_a_head}
    assert set(controllers.CALLS) == asked_by_clients
    assert set(nodes.CALLS) == {e.name for e in every if not e.queued}


def test_other_kernels_answer_what_the_table_says_they_can_be_asked() -> None:
    able = {each.name for each in KERNEL_OPERATIONS.values() if each.portable}
    assert set(portable.HANDLERS) == able
    asked = {e.asks for e in OPERATIONS.values() if e.kernels in ("functions", "python")}
    assert asked < able
    assert "execute" not in able  # plain Jupyter can do that


@pytest.mark.parametrize("operation", KERNEL_OPERATIONS.values(), ids=list(KERNEL_OPERATIONS))
def test_every_content_has_checks(operation: KernelOperation) -> None:
    assert isinstance(fields_of(operation.content), dict)
    assert operation.channels or operation.portable


def literals_of(path: Path) -> set[Any]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def test_message_types_are_made_of_the_table_alone() -> None:
    named = {
        (path.relative_to(PACKAGE).as_posix(), value)
        for path in PACKAGE.rglob("*.py")
        for value in literals_of(path)
        if isinstance(value, str) and value.startswith("fleet_") and value.endswith("_request")
    }
    assert named == set()
    assert message_type("execute") == "fleet_execute_request"


def test_only_a_failing_cell_clears_the_queue_and_only_parts_of_maps_are_independent() -> None:
    every = OPERATIONS.values()
    assert [each.name for each in every if each.clears_queue] == ["execute"]
    assert [each.name for each in every if each.independent] == ["map", "task", "comm"]
    assert [each.name for each in every if each.goes_first] == ["comm"]
    assert [each.name for each in every if each.ends_with_client] == ["map", "task"]
    assert {"execute", "push", "pull", "apply", "map", "task"} == NEEDING_IMPORTS


def test_a_kernel_of_another_language_runs_cells_and_says_so() -> None:
    assert why_not_portable(OPERATIONS["execute"], "R", None) == ""
    assert why_not_portable(OPERATIONS["push"], "R", None) == "only execute"
    assert why_not_portable(OPERATIONS["push"], "python", "too old") == ""
    assert why_not_portable(OPERATIONS["map"], "python", None) == ""
    assert why_not_portable(OPERATIONS["map"], "python", "too old") == "too old"
    assert why_not_portable(OPERATIONS["peek"], "python", None).startswith("only apply, execute")


def test_the_page_about_the_protocol_has_the_tables_that_the_package_declares() -> None:
    page = protocol_page.PAGE.read_text(encoding="utf-8")
    marks = re.findall(r"<!-- ([\w ]+) -->", page)
    assert set(marks) - {"end"} == set(protocol_page.tables())
    assert page == protocol_page.filled(page), "run python -m tests.protocol_page"
    assert all(f"| `{name}` |" in page for name in OPERATIONS)
