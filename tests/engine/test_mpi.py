"""mpi.py: an mpi4py that finds another world than the launcher's is an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernelfleet.engine import mpi

#: What stands for mpi4py; the real one is in tests/journeys/test_mpi.py.
MODULE = """
from types import SimpleNamespace
COMM_WORLD = SimpleNamespace(Get_rank=lambda: 0, Get_size=lambda: 1)
Is_initialized = lambda: True
get_vendor = lambda: ("Open MPI", (4, 1, 4))
"""


@pytest.fixture
def mpi4py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that believes to be alone."""
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").touch()
    (tmp_path / "mpi4py" / "MPI.py").write_text(MODULE)
    for name in [each for each in sys.modules if each.partition(".")[0] == "mpi4py"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield
    for name in [each for each in sys.modules if each.partition(".")[0] == "mpi4py"]:
        del sys.modules[name]


def test_a_world_of_one_where_there_are_more_is_an_error_at_each_import(mpi4py: None) -> None:
    mpi.check_world(2, 4)
    for _ in range(2):
        with pytest.raises(ImportError) as raised:
            from mpi4py import MPI  # noqa: F401
        text = str(raised.value)
        assert "mpi4py was built for Open MPI 4.1.4" in text
        assert "finds rank 0 of 1 where the launcher has started rank 2 of 4" in text
        assert "mpiexec='/path/to/mpiexec -n {n}'" in text


def test_the_right_world_is_imported_as_ever_and_nothing_else_is_touched(mpi4py: None) -> None:
    mpi.check_world(0, 1)
    from mpi4py import MPI

    assert MPI.COMM_WORLD.Get_size() == 1
    finder = sys.meta_path[0]
    assert isinstance(finder, mpi.WorldChecker)
    assert finder.find_spec("json", None) is None


def test_without_mpi4py_it_is_missing_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.delitem(sys.modules, "mpi4py", raising=False)
    mpi.check_world(0, 1)
    with pytest.raises(ImportError):
        import mpi4py.MPI  # noqa: F401


def test_who_initialises_mpi_himself_is_not_checked() -> None:
    assert mpi.problem_of(SimpleNamespace(Is_initialized=lambda: False), 0, 2) == ""
