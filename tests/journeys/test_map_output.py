"""What the functions of a blocking map or apply put out is seen where execute's output would be."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.promises import promise

CELLS = (
    "from kernelfleet import Fleet\nfleet = Fleet(1); mec = fleet.start()",
    "def show(x):\n    import logging, warnings\n    print('printed', x)\n"
    "    warnings.warn(f'careful {x}')\n    logging.getLogger('q').warning('logged')\n"
    "    display(x)\n"
    "from IPython.display import display",
    "r = mec.map(show, [1])",
    "r = mec.apply(show, 2)",
    "fleet.stop()",
)


@promise("7: a map or apply that blocks shows what its functions print, display, warn and log")
@pytest.mark.slow
def test_output_of_a_map_is_seen_in_a_notebook() -> None:
    cells: list[Any] = [nbformat.v4.new_code_cell(source) for source in CELLS]  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    for x, cell in ((1, cells[2]), (2, cells[3])):
        shown = "\n".join(output.data["text/plain"] for output in cell.outputs)
        assert f"[0] printed {x}" in shown
        assert f"UserWarning: careful {x}" in shown
        assert "[0 stderr] logged" in shown
        assert f"\n{x}" in shown or f"[0] {x}" in shown
