"""A launcher without MPI: starts so many processes, tells each its rank as MPICH's does, waits.

``mpiexec.py [--option ...] -n N COMMAND...``. As real ones, it kills the others when one process
ends badly, and ends its processes when it is told to end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time


def main() -> int:
    arguments = sys.argv[1:]
    at = arguments.index("-n")
    n, command, options = int(arguments[at + 1]), arguments[at + 2 :], arguments[:at]
    if "--fail" in options:
        print("no hosts to be had", file=sys.stderr)
        return 3
    if "--hang" in options:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    start = n - 1 if "--one-less" in options else n
    ranks = []
    for rank in range(start):
        told = {} if "--no-rank" in options else {"PMI_RANK": str(rank), "PMI_SIZE": str(n)}
        if "--all-zero" in options:
            told = {"PMI_RANK": "0", "PMI_SIZE": "1"}
        if "--twice" in options:
            told = {"PMI_RANK": "0"}
        ranks.append(subprocess.Popen(command, env={**os.environ, **told, "FROM_LAUNCHER": "1"}))

    def end(*_: object) -> None:
        for each in ranks:
            each.kill()

    signal.signal(signal.SIGTERM, end)
    codes = [each.poll() for each in ranks]
    while None in codes:
        if any(codes):
            end()
        time.sleep(0.01)
        codes = [each.poll() for each in ranks]
    return max(abs(code or 0) for code in codes)


if __name__ == "__main__":
    sys.exit(main())
