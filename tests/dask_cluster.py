"""A Dask cluster of this machine, in a process of its own.

Within a test's process it would leave listening sockets there, set variables of the environment,
use the module ``random`` from threads of its own (of which hypothesis complains) and replace how
exceptions are pickled.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")  # of Dask's own
from distributed import LocalCluster

# (dashboard_address=None would take port 8787, which another run may have)
options = {"dashboard_address": ":0", "memory_limit": 0, "silence_logs": 40}
options.update(json.loads(sys.argv[1]))
if __name__ == "__main__":
    with LocalCluster(**options) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@contextlib.contextmanager
def dask_cluster(workers: int, threads: int, *, processes: bool = True) -> Iterator[str]:
    """Start a ``LocalCluster``; it ends with the context, or with this process.

    Args:
        workers: Their number.
        threads: Of each worker; a fleet has as many engines there.
        processes: False makes threads of the workers, which start faster. (A node is a process.)

    Yields:
        The address of the scheduler.
    """
    shape = {"n_workers": workers, "threads_per_worker": threads}
    options = json.dumps({**shape, "processes": processes, "protocol": "tcp://"})
    command = [sys.executable, "-c", PROGRAM, options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address, "the Dask cluster did not start"
            yield address
        finally:
            process.stdin.close()
            process.wait(timeout=30)
