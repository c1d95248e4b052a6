"""How many threads BLAS and OpenMP take in each engine: together no more than there are cores."""

from __future__ import annotations

from collections.abc import Mapping

from kernelfleet.wire.platforms import number_of_cores

#: What is read before numpy loads; set to cores // n unless the user has set it.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_environment(n_engines: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The thread limits that keep ``n_engines`` engines from oversubscribing the machine."""
    if any(name in environment for name in THREAD_VARIABLES):
        return {}  # the user has thought about it
    threads = str(max(1, number_of_cores() // max(1, n_engines)))
    return dict.fromkeys(THREAD_VARIABLES, threads)
