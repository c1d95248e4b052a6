"""Cells of a fleet's kernel go to engines that are started when they are needed.

tests/journeys/test_fleet_kernel.py has the process.
"""

# mypy: allow-untyped-calls
# ipykernel's application is untyped

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from kernelfleet import FleetError, MultiEngineClient, StartError
from kernelfleet.client.fleet import Fleet
from kernelfleet.notebook.extension import state_of
from kernelfleet.notebook.kernel.app import ALIASES, FleetCells, FleetKernelApp
from tests.notebook.conftest import Shell


def test_cells_run_on_the_engines_and_the_client_is_there_for_cells_here(
    bare: Shell, mec: MultiEngineClient
) -> None:
    opened: list[int] = []

    def opens() -> tuple[Fleet | None, MultiEngineClient]:
        opened.append(1)
        return None, mec

    FleetCells(state_of(bare.ip), opens)
    assert bare.run("%%local\n1 + 1").endswith("2\n")
    assert opened == []
    assert "[2] Out[1]: 20\n" in bare.run("engine_id * 10")
    bare.run("x = 1")
    assert opened == [1]
    assert mec.keys() == [["x"]] * 4
    assert bare.run("%%local\nmec is not None").endswith("True\n")
    assert bare.run("%fleet cells --off") == "Cells run here again.\n"


def test_a_fleet_that_does_not_start_is_told_by_each_cell_and_tried_again(
    bare: Shell, mec: MultiEngineClient
) -> None:
    answers: list[Any] = [StartError("no memory"), StartError("no memory"), (None, mec)]

    def opens() -> tuple[Fleet | None, MultiEngineClient]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        made: tuple[Fleet | None, MultiEngineClient] = answer
        return made

    FleetCells(state_of(bare.ip), opens)
    for _ in range(2):
        assert "StartError: no memory" in bare.run("1")
        assert isinstance(bare.error, FleetError)
    assert "[0-3] same" in bare.run("print('same')")


def test_every_option_of_the_process_is_one_of_the_application() -> None:
    assert set(ALIASES) <= set(FleetKernelApp().aliases)
    for setting in ALIASES.values():
        assert setting.removeprefix("FleetKernelApp.") in FleetKernelApp.class_trait_names(
            config=True
        )


#: Runs the process's program with each list of options, but for the application.
PROGRAM = """
import json, runpy, sys
import kernelfleet
from kernelfleet.notebook.kernel.app import FleetKernelApp
from kernelfleet.provisioners import servers

FleetKernelApp.launch_instance = lambda: None
started = []
for options in json.loads(sys.argv[1]):
    vars(kernelfleet).pop("Fleet", None)
    servers.warm_up_for = lambda module: started.append([*options, module])
    sys.argv[1:] = ["-f", "k.json", *options]
    runpy.run_module("kernelfleet.notebook.kernel", run_name="__main__")
print(json.dumps(started))
"""


def test_the_fork_server_of_its_engines_starts_beside_its_imports() -> None:
    here = [[], ["--engines=2", "--on-start=x = 1"]]
    elsewhere = [
        ["--connect=sweep"], ["--cluster=ssh:one,two"], ["--engine-kernel=ir"], ["--preload=numpy"],
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([*elsewhere, *here])],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout) == [[*options, "__main__"] for options in here]
