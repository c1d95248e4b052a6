"""A shell of IPython in this process, and notebooks executed in kernels of their own."""

# mypy: allow-untyped-calls
# nbformat's and IPython's functions are untyped

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from traitlets.config import Config

from kernelfleet import MultiEngineClient


@pytest.fixture
def transport() -> str:
    return "embedded"


class Shell:
    """A bare InteractiveShell that a test types into."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        config = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})
        self.ip: Any = InteractiveShell(config=config, colors="nocolor")
        self._capsys = capsys

    def run(self, cell: str, **options: Any) -> str:
        """Run a cell; what it showed."""
        self._capsys.readouterr()
        self.result = self.ip.run_cell(cell, store_history=True, **options)
        out = self._capsys.readouterr()
        return out.out + out.err

    @property
    def error(self) -> BaseException | None:
        """What the last cell raised."""
        error: BaseException | None = self.result.error_in_exec or self.result.error_before_exec
        return error

    def __getitem__(self, name: str) -> Any:
        return self.ip.user_ns[name]


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """A shell that knows nothing of kernelfleet."""
    shell = Shell(capsys)
    yield shell
    atexit.unregister(shell.ip.atexit_operations)
    shell.ip.restore_sys_module_state()


@pytest.fixture
def shell(bare: Shell, mec: MultiEngineClient) -> Shell:
    """A shell whose magics serve ``mec``, a client of four engines without a past."""
    bare.ip.push({"mec": mec})
    mec.activate(shell=bare.ip)
    return bare


Cells = list[Any]


@pytest.fixture
def execute() -> Callable[..., Cells]:
    """Execute code cells as a notebook, errors allowed; returns the cells with their outputs."""

    def execute(*sources: str) -> Cells:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells)
        client = NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True)
        client.execute()
        executed: Cells = notebook.cells
        return executed

    return execute
