"""dask's own tests of delayed, bags and what they stand on, computed on a fleet's executor.

Run it with ``pytest -m peers tests/peers``; it takes minutes. dask 2026.8.0: 293 passed.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

pytest.importorskip("dask.tests.test_delayed")

#: They count calls in this process, compare objects with what came back by ``is``, or look at which
#: scheduler is set: no executor of other processes could pass.
LEFT_OUT = (
    "test_traverse_false", "test_compute_array_bag", "test_persist_array_bag",
    "test_get_scheduler", "test_to_delayed_optimize_graph",
)  # fmt: skip


def test_dasks_own_tests_pass_on_an_executor() -> None:
    modules = ["dask.tests.test_delayed", "dask.tests.test_base", "dask.bag.tests.test_bag"]
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "tests.peers.dask_on_a_fleet", "-p",
            "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings=",
            "-k", " and ".join(f"not {name}" for name in LEFT_OUT), "--pyargs", *modules,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout[-6000:])
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 200
    assert " failed" not in done.stdout.splitlines()[-1]
