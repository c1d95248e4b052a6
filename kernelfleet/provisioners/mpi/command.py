"""Which launcher is run with which arguments and settings, so that ranks can be engines."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from kernelfleet.wire.launcher_variables import without_rank
from kernelfleet.wire.platforms import number_of_cores
from kernelfleet.wire.safe_start import safely

#: The places of the number of ranks, and of the hosts of a cluster, in a launcher's command.
NUMBER, HOSTS = "{n}", "{hosts}"
#: What the launcher starts on every host.
_RANK = "kernelfleet.provisioners.mpi.rank"

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
    """The command that starts the ranks on this machine.

    Args:
        n: How many.
        template: The launcher's command, with ``{n}`` for the number; None looks for mpiexec.
        socket: Where the ranks report.

    Raises:
        NoLauncherError: there is no mpiexec.
    """
    launcher = [find_mpiexec(), "-n", str(n)] if template is None else _filled(template, n, [])
    return [*launcher, *safely([sys.executable, "-m", _RANK]), str(socket)]


def command_on_hosts(
    n: int, template: str | None, hosts: Mapping[str, int], python: str, socket: Path
) -> list[str]:
    """The command that starts the ranks on the hosts of a cluster.

    Args:
        n: How many.
        template: The launcher's command, with ``{n}`` for the number and ``{hosts}`` for the hosts;
            None looks for mpiexec, which is told how many go where.
        hosts: How many ranks each host is meant for.
        python: The interpreter there.
        socket: Where the ranks report, on each host.

    Raises:
        NoLauncherError: there is no mpiexec.
    """
    if template is None:
        places = ",".join(f"{host}:{count}" for host, count in hosts.items())
        # Spelled so, both Open MPI and MPICH know it.
        launcher = [find_mpiexec(), "-n", str(n), "-host", places]
    else:
        launcher = _filled(template, n, hosts)
    return [*launcher, python, "-P", "-m", _RANK, str(socket)]


def _filled(template: str, n: int, hosts: Iterable[str]) -> list[str]:
    values = {NUMBER: str(n), HOSTS: ",".join(hosts)}
    parts = shlex.split(template)
    for place, value in values.items():
        parts = [part.replace(place, value) for part in parts]
    return parts


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


def settings_of_ranks(n: int) -> dict[str, str]:
    """What the library itself is told in the environment of each rank."""
    return dict(_CROWDED) if n > number_of_cores() else {}


def environment(n: int, engine: Mapping[str, str]) -> dict[str, str]:
    """The launcher's environment, from that of an engine; what the user has set is kept."""
    settings = {**_SETTINGS, **settings_of_ranks(n)}
    if os.geteuid() == 0:
        settings.update(_AS_ROOT)
    return {**settings, **without_rank(engine)}
