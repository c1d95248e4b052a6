"""How many threads BLAS and OpenMP may use in each engine: in total, no more than cores."""

from __future__ import annotations

from collections.abc import Mapping

from kernelfleet.wire.platforms import number_of_cores

#: Variables that are read when numpy is loaded; set to cores // n unless the user has set one.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_environment(
    n_engines: int, environment: Mapping[str, str | None]
) -> dict[str, str | None]:
    """The thread limits that keep ``n_engines`` engines from oversubscribing the machine."""
    if any(name in environment for name in THREAD_VARIABLES):
        return {}  # the user has decided; None is "no limit"
    threads = str(max(1, number_of_cores() // max(1, n_engines)))
    return dict.fromkeys(THREAD_VARIABLES, threads)
