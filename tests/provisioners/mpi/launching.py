"""How tests start MPI worlds: by a launcher of their own, which needs no MPI, and by real ones."""

from __future__ import annotations

import ctypes.util
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

#: The command of a launcher that needs no MPI; options go between.
PLAIN = f"{sys.executable} {Path(__file__).with_name('mpiexec.py')}"
MPIEXEC = f"{PLAIN} -n {{n}}"

#: The real ones that are installed, as Debian names their programs.
INSTALLED: list[Any] = [
    name
    for name in ("openmpi", "mpich")
    if shutil.which(f"mpiexec.{name}") and find_spec("mpi4py") is not None
]


def environment(library: str, folder: Path) -> dict[str, str]:
    """What lets mpi4py's wheel find one of two MPIs.

    Its name for MPICH's library is the one of the common ABI, which Debian's package has not.
    """
    if library != "mpich":
        return {"MPI4PY_MPIABI": library}
    found = ctypes.util.find_library("mpich")
    if found is None:
        pytest.skip("MPICH's library is not where libraries are")
    link = folder / "libmpi.so.12"
    if not link.exists():
        link.symlink_to(_path_of(found))
    return {"MPI4PY_MPIABI": library, "LD_LIBRARY_PATH": str(folder)}


def _path_of(name: str) -> str:
    places = [*Path("/lib").glob(f"*-linux-gnu/{name}"), *Path("/usr/lib").glob(f"*/{name}")]
    if not places:
        pytest.skip(f"{name} is not where libraries are")
    return str(places[0])
