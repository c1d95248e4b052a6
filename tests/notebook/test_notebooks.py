"""The notebooks in ``notebooks/``: they run from start to end, and are committed clean."""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

#: What one of them may take on two cores, with nothing else running.
MAX_SECONDS = 60


#: Programs and modules without which a notebook cannot run.
NEEDS = {"07-cluster": ("distributed",), "08-mpi": ("mpiexec", "mpi4py"), "09-ranks": ("jax",)}


def is_there(what: str) -> bool:
    return shutil.which(what) is not None or find_spec(what) is not None


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def test_there_are_nine() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"0{number}" for number in range(1, 10)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_start_to_end(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the notebooks draw with matplotlib")
    missing = [what for what in NEEDS.get(path.stem, ()) if not is_there(what)]
    if missing:
        pytest.skip(f"{path.stem} needs {', '.join(missing)}")
    notebook = read(path)
    resources = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=MAX_SECONDS, resources=resources)
    began = time.monotonic()
    client.execute()
    assert time.monotonic() - began < MAX_SECONDS
    for cell in notebook.cells:
        meant_to_fail = "raises-exception" in cell.metadata.get("tags", ())
        failed = any(output.output_type == "error" for output in cell.get("outputs", ()))
        assert failed == meant_to_fail, cell.source
