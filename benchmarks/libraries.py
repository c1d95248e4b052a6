"""Side by side with what people use today: cells of an MPI world, and joblib's tasks.

``python -m benchmarks.libraries`` writes ``benchmarks/results/libraries.md``. The sides of a table
run at the same time and take turns, so that load from elsewhere meets all of them.
"""

# mypy: ignore-errors
# joblib and ipyparallel ship no types

from __future__ import annotations

import importlib.metadata
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import ipyparallel
import joblib
import numpy as np
import psutil
from ipyparallel.joblib import IPythonParallelBackend
from mpi4py import MPI

import kernelfleet.joblib
from benchmarks import functions, machine
from kernelfleet import Fleet

ENGINES = 4
ROUNDS = 7
#: Cells or calls that are timed together, by table.
CELLS, CALLS = 30, 1
SMALL_TASKS = 5_000
ARRAY_TASKS = 40
ARRAY_BYTES = 40_000_000
RESULTS = Path(__file__).parent / "results" / "libraries.md"

#: What both sides' launchers need on a machine with fewer cores than ranks, and for root.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
}
BEFORE = "import numpy as np\nfrom mpi4py import MPI\ncomm = MPI.COMM_WORLD\n"
CELL_ROWS = {
    "`pass`": "pass",
    "`Allreduce` of 1,000 doubles": "x = np.full(1000, float(comm.rank)); comm.Allreduce(x, y)",
    "`Allreduce` of 1,000,000 doubles": "x = np.full(10**6, 1.0); comm.Allreduce(x, z)",
}

Sides = dict[str, Callable[[], object]]
#: Medians of the rounds by side, of one row.
Row = dict[str, float]


def main() -> None:
    """Measure, and write the page."""
    root = str(Path(__file__).resolve().parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    os.environ.update(OPEN_MPI)
    loads = [os.getloadavg()[0]]
    cells = of_cells()
    loads.append(os.getloadavg()[0])
    tasks = of_tasks()
    loads.append(os.getloadavg()[0])
    RESULTS.write_text(page(cells, tasks, loads), encoding="utf-8")
    sys.stdout.write(RESULTS.read_text(encoding="utf-8"))


def in_turn(sides: Sides, calls: int) -> Row:
    """The median seconds of a call of each side."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for call in sides.values():
        call()
    for _ in range(ROUNDS):
        for name, call in sides.items():
            began = time.perf_counter()
            for _ in range(calls):
                call()
            taken[name].append((time.perf_counter() - began) / calls)
    return {name: statistics.median(each) for name, each in taken.items()}


def started_ipyparallel(stack: ExitStack, **options: object) -> ipyparallel.Client:
    """A client of as many engines, which end with the stack."""
    cluster = ipyparallel.Cluster(n=ENGINES, log_level=40, **options)
    client = cluster.start_and_connect_sync()
    stack.callback(cluster.stop_cluster_sync)
    stack.enter_context(closing(client))
    return client


def of_cells() -> dict[str, Row]:
    """Cells on all ranks of a world of each side."""
    with ExitStack() as stack:
        mec = stack.enter_context(Fleet(ENGINES, mpi=True))
        view = started_ipyparallel(stack, engines="mpi")[:]
        before = f"{BEFORE}y, z = np.empty(1000), np.empty(10**6)"
        mec.execute(before)
        view.execute(before, block=True).get()
        rows = {
            row: in_turn(
                {
                    "kernelfleet": lambda code=code: mec.execute(code),
                    "ipyparallel": lambda code=code: view.execute(code, block=True).get(),
                },
                CELLS,
            )
            for row, code in CELL_ROWS.items()
        }
        right = float(sum(range(ENGINES)))
        sums = [*mec.pull("y"), *view.pull("y", block=True)]
        assert all((each == right).all() for each in sums), "a sum is wrong"
        return rows


def of_tasks() -> dict[str, Row]:
    """Calls of ``Parallel`` on a backend of each side."""
    array = np.ones(ARRAY_BYTES // 8)

    def small() -> None:
        found = joblib.Parallel(n_jobs=ENGINES)(
            joblib.delayed(functions.increment)(i) for i in range(SMALL_TASKS)
        )
        assert found == list(range(1, SMALL_TASKS + 1))

    def with_array() -> None:
        found = joblib.Parallel(n_jobs=ENGINES)(
            joblib.delayed(np.dot)(array, array) for _ in range(ARRAY_TASKS)
        )
        assert found == [float(len(array))] * ARRAY_TASKS

    with ExitStack() as stack:
        mec = stack.enter_context(Fleet(ENGINES))
        view = started_ipyparallel(stack).load_balanced_view()
        joblib.register_parallel_backend(
            "ipyparallel", lambda **options: IPythonParallelBackend(view=view, **options)
        )
        backends = {
            "kernelfleet": (kernelfleet.joblib.NAME, {"fleet": mec}),
            "loky": ("loky", {}),
            "ipyparallel": ("ipyparallel", {}),
        }

        def on(side: str, work: Callable[[], None]) -> Callable[[], None]:
            name, options = backends[side]

            def call() -> None:
                with joblib.parallel_config(name, **options):
                    work()

            return call

        rows = {
            f"{SMALL_TASKS:,} small tasks": small,
            f"{ARRAY_TASKS} tasks with one array of {ARRAY_BYTES // 10**6} MB": with_array,
        }
        found = {
            row: in_turn({side: on(side, work) for side in backends}, CALLS)
            for row, work in rows.items()
        }
        in_all = f"{SMALL_TASKS:,} small tasks, processor time of all processes"
        return {in_all: {side: processor_time(on(side, small)) for side in backends}, **found}


def processor_time(call: Callable[[], object]) -> float:
    """The mean processor seconds of a call, in this process and all those below it."""
    began = in_this_tree()
    for _ in range(ROUNDS):
        call()
    return (in_this_tree() - began) / ROUNDS


def in_this_tree() -> float:
    """The processor seconds so far of this process and of those below it that live."""
    # Of this process those of threads that have ended count as well, as backends have them.
    below = psutil.Process().children()
    return time.process_time() + sum(machine.cpu_seconds(each.pid) for each in below)


def page(cells: dict[str, Row], tasks: dict[str, Row], loads: list[float]) -> str:
    """The results as Markdown."""
    mpi = MPI.Get_library_version().split(",")[0]
    version = importlib.metadata.version
    facts = [
        *machine.facts(),
        f"{mpi}, mpi4py {version('mpi4py')}, joblib {version('joblib')}; {ENGINES} engines a side",
        f"Load (1 min) before, between and after: {', '.join(f'{each:.1f}' for each in loads)}. "
        f"Medians of {ROUNDS} rounds in which the sides take turns.",
    ]
    lines = ["# MPI cells and joblib, side by side", "", *(f"- {each}" for each in facts)]
    for title, rows in (("Cells on 4 ranks", cells), ("`joblib.Parallel`, n_jobs=4", tasks)):
        sides = list(next(iter(rows.values())))
        lines += ["", f"| {title} | {' | '.join(sides)} |", "|---" * (len(sides) + 1) + "|"]
        lines += [
            f"| {row} | {' | '.join(f'{1000 * each[side]:.1f} ms' for side in sides)} |"
            for row, each in rows.items()
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
