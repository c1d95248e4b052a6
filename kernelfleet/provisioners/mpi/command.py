"""Which launcher is run with which arguments and settings, so that ranks can be engines."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from kernelfleet.wire.launcher_variables import without_rank
from kernelfleet.wire.platforms import number_of_cores
from kernelfleet.wire.safe_start import safely

#: The place of the number of ranks in a launcher's command.
NUMBER = "{n}"

#: By the name of an MPI, as Debian appends it to its programs: the libraries that an extension
#: built with it asks for.
_LIBRARIES = {
    "openmpi": (b"libmpi.so.40", b"libmpi.so.20"),
    "mpich": (b"libmpich.so", b"libmpi.so.12"),
}

#: Engines share the cores with each other and with other fleets, as those without MPI do. Open MPI
#: would refuse more ranks than cores, and bind those of each fleet to the same first cores; and it
#: refuses root, as whom containers run. By variables, as they suit whatever command starts it.
_SETTINGS = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}
_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

#: Where there are more ranks than cores, a rank that waits is in the way of those it waits for.
#: Open MPI notices by itself; MPICH 4.0 spins for a thousand rounds before it yields (an Allreduce
#: of 4 ranks on 2 busy cores: 30 ms, and 17 ms with this).
_CROWDED = {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}

NO_LAUNCHER = (
    "there is no mpiexec: install Open MPI or MPICH (on Debian openmpi-bin or mpich, with conda "
    "openmpi or mpich), or say what starts your MPI's ranks: mpiexec='srun -n {n}'"
)


class NoLauncherError(RuntimeError):
    """There is nothing that could start the ranks."""


def command(n: int, template: str | None, socket: Path) -> list[str]:
    """The command that starts the ranks.

    Args:
        n: How many.
        template: The launcher's command, with ``{n}`` for the number; None looks for mpiexec.
        socket: Where the ranks report.

    Raises:
        NoLauncherError: there is no mpiexec.
    """
    if template is None:
        launcher = [find_mpiexec(), "-n", str(n)]
    else:
        launcher = [part.replace(NUMBER, str(n)) for part in shlex.split(template)]
    rank = safely([sys.executable, "-m", "kernelfleet.provisioners.mpi.rank"])
    return [*launcher, *rank, str(socket), str(os.getpid())]


def find_mpiexec() -> str:
    """The mpiexec that belongs to the MPI of the installed mpi4py; else the interpreter's, or any.

    Raises:
        NoLauncherError: there is none.
    """
    library = library_of_mpi4py()
    names = ["mpiexec"] if library is None else [f"mpiexec.{library}", "mpiexec"]
    beside = os.path.dirname(sys.executable)  # as conda and the wheels of both have it
    for name in names:
        found = shutil.which(name, path=beside) or shutil.which(name)
        if found is not None:
            return found
    raise NoLauncherError(NO_LAUNCHER)


def library_of_mpi4py() -> str | None:
    """``openmpi`` or ``mpich``, as the installed mpi4py was built for; None if it is not certain.

    Its wheels have an extension for each, and take the library that they find.
    """
    spec = find_spec("mpi4py")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    files = [file for place in places for file in sorted(Path(place).glob("MPI.*so"))]
    if len(files) != 1:
        return None
    try:
        content = files[0].read_bytes()
    except OSError:
        return None
    found = [name for name, wanted in _LIBRARIES.items() if any(each in content for each in wanted)]
    return found[0] if len(found) == 1 else None


def environment(n: int, engine: Mapping[str, str]) -> dict[str, str]:
    """The launcher's environment, from that of an engine; what the user has set is kept."""
    settings = dict(_SETTINGS)
    if os.geteuid() == 0:
        settings.update(_AS_ROOT)
    if n > number_of_cores():
        settings.update(_CROWDED)
    return {**settings, **without_rank(engine)}
