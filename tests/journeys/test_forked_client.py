"""A process with a client or an embedded fleet forks: the child is told, the parent not harmed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.daemons import OwnFleet

pytestmark = pytest.mark.slow

SCRIPT = """
import multiprocessing, os, sys, time, warnings
from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.errors import FleetError

warnings.simplefilter('ignore', DeprecationWarning)  # Python 3.12 on forks beside threads
address, how = sys.argv[1:]
fleet = Fleet(2)
mec = fleet.start() if address == 'embedded' else MultiEngineClient(address)
executor = mec.executor()
values = mec.map(time.sleep, [2] * 4, block=False)
pending = mec.execute('import time; time.sleep(3)', block=False)

def refusals():
    return {
        'execute': lambda: mec.execute('1'),
        'not blocking': lambda: mec.push({'x': 1}, block=False),
        'get_ids': lambda: mec.queue_status(),
        'map': lambda: mec.map(str, range(9)),
        'submit': lambda: executor.submit(str),
        'an earlier result': pending.result,
        'an earlier result, waited for': pending.wait,
        'an earlier map': values.result,
    }

def child():
    for what, call in refusals().items():
        try:
            call()
        except FleetError as error:
            assert 'make a new client in the child' in str(error), error
        else:
            raise AssertionError(what)
    executor.shutdown()
    fleet.stop()
    mec.close()
    if address == 'embedded':
        with Fleet(1) as own:
            assert own.apply(os.getppid)
    else:
        with MultiEngineClient(address) as own:
            assert own.apply(lambda: 2, targets=[0], timeout=30) == [2]

if how == 'os.fork':
    pid = os.fork()
    if pid == 0:
        child()
        sys.exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
else:
    process = multiprocessing.get_context('fork').Process(target=child)
    process.start()
    process.join()
    code = process.exitcode
assert code == 0, code
assert values.result(30) == [None] * 4
pending.result(30)
assert mec.apply(lambda: 1, timeout=20) == [1, 1]
assert executor.submit(lambda: 3).result(20) == 3
executor.shutdown()
mec.close()
fleet.stop()
"""


@pytest.mark.parametrize("how", ["os.fork", "multiprocessing"])
@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_a_forked_child_is_told_and_its_end_does_not_harm_the_parent(
    own_fleet: Callable[..., OwnFleet], transport: str, how: str, tmp_path: Path
) -> None:
    address = "embedded" if transport == "embedded" else str(own_fleet(2).address)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.run(
        [sys.executable, "-W", "error", str(script), address, how],
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ),
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
