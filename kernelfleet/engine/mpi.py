"""An engine that is a rank of an MPI world: whether mpi4py finds the world that it is part of.

An mpi4py that was built for another MPI than the launcher's does not understand what the launcher
has told the process, and silently makes a world of one: every engine is rank 0 of 1, and a sum over
all ranks is the sum of one. So the world is looked at as soon as it exists, which is when
``mpi4py.MPI`` has been imported.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MODULE = "mpi4py.MPI"


class WorldChecker(MetaPathFinder):
    """Finds ``mpi4py.MPI`` as others do, and checks it when it has been loaded.

    Args:
        rank: Which rank this engine is.
        size: Of how many.
    """

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size
        self._searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec, with a loader that checks; None for every other module."""
        if fullname != _MODULE or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching = False
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_check(module: ModuleType) -> None:
            load(module)
            if problem := problem_of(module, self._rank, self._size):
                raise ImportError(problem)

        spec.loader.exec_module = load_and_check  # type: ignore[method-assign]
        return spec


def problem_of(mpi: Any, rank: int, size: int) -> str:
    """What is wrong with the world that mpi4py is in; empty if nothing is.

    Args:
        mpi: The module ``mpi4py.MPI``.
        rank: Which rank the launcher says this process is.
        size: Of how many.
    """
    if not mpi.Is_initialized():
        return ""  # the user has set mpi4py.rc.initialize to False
    found = (mpi.COMM_WORLD.Get_rank(), mpi.COMM_WORLD.Get_size())
    if found == (rank, size):
        return ""
    vendor, version = mpi.get_vendor()
    return (
        f"mpi4py was built for {vendor} {'.'.join(map(str, version))}, whose launcher has not "
        f"started this fleet: it finds rank {found[0]} of {found[1]} where the launcher has "
        f"started rank {rank} of {size}. Start the fleet with the mpiexec of that MPI "
        "(mpiexec='/path/to/mpiexec -n {n}'), or install mpi4py for this one: "
        "pip install --no-binary mpi4py --force-reinstall mpi4py"
    )


def check_world(rank: int, size: int) -> None:
    """Have ``mpi4py.MPI`` checked when it is imported."""
    sys.meta_path.insert(0, WorldChecker(rank, size))
