"""The cells of each page of the documentation run, in its order, in a notebook's kernel.

README has a test of its own (tests/journeys/test_readme.py), and the tutorial and the notebooks are
executed when the site is built.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"
#: A client of a fleet of four, as the pages have it.
MEC = """
from kernelfleet import Fleet, MultiEngineClient
%load_ext kernelfleet
fleet = Fleet(4)
mec = fleet.start()
mec.activate()
"""


class Page(NamedTuple):
    #: What runs before the first cell of the page: what the reader has already.
    before: str = ""
    #: Modules without which the page is skipped.
    needs: tuple[str, ...] = ()
    #: The beginnings of cells that are not run, each with the reason.
    left_out: tuple[tuple[str, str], ...] = ()


PAGES: dict[str, Page] = {
    "index.md": Page(),
    "widgets.md": Page(MEC, ("ipywidgets",)),
    "cells.md": Page(),
    "timeline.md": Page(
        f"{MEC}\nimport time\nparameters = range(8)\ndef simulate(x): time.sleep(0.01)",
    ),
    "libraries.md": Page(
        "import kernelfleet, pandas, xarray, numpy as np\n"
        "from sklearn.model_selection import GridSearchCV\n"
        "from sklearn.svm import SVC\n"
        "X, y = np.random.default_rng(0).normal(size=(40, 2)), [0, 1] * 20\n"
        "dataset = xarray.DataArray(np.ones((8, 3)), dims=('time', 'x'))",
        ("joblib", "sklearn", "xarray", "pandas"),
    ),
    "howto/memory.md": Page(
        f"{MEC}\nimport numpy as np, pyarrow\nnp.save('x.npy', np.arange(9))\n"
        "held = pyarrow.table({'a': [1, 2]})\n"
        "with pyarrow.ipc.new_file('table.arrow', held.schema) as file: file.write_table(held)",
        ("numpy", "pyarrow"),
    ),
    "howto/start.md": Page(left_out=(("mec = MultiEngineClient", "needs a file of elsewhere"),)),
    "howto/debug.md": Page(MEC),
    "howto/gpu.md": Page(
        "import os\nos.environ['CUDA_VISIBLE_DEVICES'] = '0,1'\ndef train(x): return x",
        left_out=(('mec.execute("import torch', "needs torch and a GPU"),),
    ),
    "performance.md": Page(
        left_out=(("# setup.py", "a script; tests/journeys/test_preloaded_script.py has one"),),
    ),
    "mpi.md": Page(
        needs=("mpi4py",),
        left_out=(("Fleet(n=", "needs MPICH, Slurm or hosts; tests/cluster has them"),),
    ),
    "ranks.md": Page(
        needs=("jax",),
        left_out=(("%%px\nimport torch", "is large; tests/journeys/test_ranks.py has it"),),
    ),
    "clusters.md": Page(
        left_out=(
            ("fleet = Fleet(n=", "needs hosts or a batch system; tests/cluster has them"),
            ("from dask.distributed import LocalCluster", "notebooks/07-cluster.ipynb does it"),
            ("from dask.distributed import Security", "needs Slurm; tests/cluster has it"),
            ("import dask", "needs hosts and certificates; tests/cluster has it"),
            ("from dask_cloudprovider", "costs money"),
        )
    ),
    "reference/settings.md": Page(left_out=(("c.Start.n", "of a configuration file"),)),
}


def cells(page: str) -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    return re.findall(r"^```i?python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def written() -> set[str]:
    """The pages that have cells of Python."""
    pages = (path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    return {page for page in pages if not page.startswith("_") and cells(page)}


def test_each_page_with_cells_is_run() -> None:
    assert written() == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_what_is_left_out_is_there(page: str) -> None:
    for beginning, _ in PAGES[page].left_out:
        assert any(cell.startswith(beginning) for cell in cells(page)), beginning


def executed(page: str, folder: Path) -> list[nbformat.NotebookNode]:
    """The cells of a page that can run here, with what they have put out."""
    about = PAGES[page]
    left_out = tuple(beginning for beginning, _ in about.left_out)
    run = [cell for cell in cells(page) if not (left_out and cell.startswith(left_out))]
    sources = [about.before, *run] if run else []
    made = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=made)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(folder)}}
    if run:
        NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    return list(notebook.cells)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_cells_of_a_page_run(page: str, tmp_path: Path) -> None:
    missing = [name for name in PAGES[page].needs if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    executed(page, tmp_path)


@pytest.mark.slow
def test_the_first_page_shows_what_comes_out(tmp_path: Path) -> None:
    (shown,) = re.findall(
        r"^```text\n(.*?)^```", (DOCS / "index.md").read_text("utf-8"), re.M | re.S
    )
    (output,) = executed("index.md", tmp_path)[-1].outputs
    assert output["data"]["text/plain"].strip() == shown.strip()
