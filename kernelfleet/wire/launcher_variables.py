"""The variables by which a parallel launcher tells a process which rank of which world it is.

``mpiexec`` and ``srun`` set them for the processes that they start, and an MPI library reads them
when it is initialised. A notebook or a controller may be such a process, as one rank of a job. Its
engines are not: with these variables each of them would take itself for that rank, and the
library would wait for the others, or answer for the wrong one. So no fleet passes them on.

What describes the whole job is no such variable, and stays: ``SLURM_JOB_ID``, the list of its
nodes, and the user's own settings (``OMPI_MCA_btl``, ``MPIR_CVAR_...``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Where a launcher says which rank a process is, and of how many. A server of PMIx sets its own
#: beside those of the launcher, with the same value.
RANK_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", ""),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("PALS_RANKID", ""),
    ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)

_OF_ONE_PROCESS = re.compile(
    # Open MPI and its runtimes: all but the user's settings, which are OMPI_MCA_<framework>_...
    r"OMPI_(?!MCA_|ALLOW_RUN_AS_ROOT|CC|CXX|FC|C?FLAGS|CXXFLAGS|FCFLAGS|LDFLAGS|LIBS)"
    r"|OMPI_MCA_(orte_|ess|pmix|initial_wdir|shmem_RUNTIME_QUERY_hint|mpi_oversubscribe)"
    r"|(PMIX|PRTE)_(?!MCA_)|PMI2?_|PMI$"
    # MPICH, Intel MPI and MVAPICH, whose launcher is Hydra
    r"|HYDI?_|HYDRA_|MPI_LOCAL(NRANKS|RANKID)|MPIR_(?!CVAR_)|MV2_COMM_|I_MPI_(HYDRA|INFO|MPIRUN)"
    # other launchers and batch systems
    r"|PALS_|FLUX_TASK_"
    r"|SLURM_(PROCID|LOCALID|NODEID|TASK_PID|GTIDS|STEP|SRUN_|LAUNCH_NODE_IPADDR|PMI)"
)

#: What launchers and MPI libraries say to each other, and where a launcher has found the library.
_OF_LAUNCHER = re.compile(
    r"(OMPI|PMIX|PRTE|PMI2?|HYDI?|HYDRA|MPI|MPIR|MPICH|MV2|I_MPI|UCX|FI|PALS|FLUX|SLURM)(_|$)"
    r"|LD_LIBRARY_PATH$"
)


def rank_of(environment: Mapping[str, str]) -> tuple[int, int | None] | None:
    """Which rank a process with this environment is, and of how many where that is said.

    Returns:
        None if no launcher has started it.
    """
    for rank, size in RANK_VARIABLES:
        if environment.get(rank, "").isdigit():
            count = environment.get(size, "")
            return int(environment[rank]), int(count) if count.isdigit() else None
    return None


def without_rank(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that is not the rank which the present process may be."""
    return {name: value for name, value in environment.items() if not _OF_ONE_PROCESS.match(name)}


def of_launcher(name: str) -> bool:
    """Whether a variable of a rank may be the launcher's, or be meant for the MPI library."""
    return _OF_LAUNCHER.match(name) is not None
