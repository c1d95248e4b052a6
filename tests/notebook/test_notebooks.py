"""The notebooks in ``notebooks/``: they run from start to end, and are committed clean."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

#: What one of them may take on two cores, with nothing else running.
MAX_SECONDS = 60


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def test_there_are_seven() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"0{number}" for number in range(1, 8)]


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
    if path.stem == "07-cluster":
        pytest.importorskip("distributed", reason="a cluster needs Dask")
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
