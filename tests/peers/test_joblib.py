"""joblib's own tests of Parallel, with a fleet as one more backend.

Run it with ``pytest -m peers tests/peers``. joblib 1.6.0: 101 passed in 15 s.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

pytest.importorskip("joblib.test")

LEFT_OUT = (
    # In other processes, or within tasks, they name the backend without having registered it.
    "test_nested_loop", "test_backend_nesting_level", "test_nested_backend_in_sequential",
    "test_parallel_with_interactively_defined_functions",
    "test_parallel_with_unpicklable_functions_in_args",
    # Proxies of multiprocessing's managers open in descendants of this process only.
    "test_dispatch_multiprocessing", "test_initializer",
    # They look for a memory map: an array is in the memory of all engines once, but not as one.
    "test_auto_memmap_on_arrays_from_generator", "test_memmapping_leaks",
    # A task that raises KeyboardInterrupt fails with RemoteError: the interrupt was not ours.
    "test_error_capture",
    # It is expected to fail with any backend, and does not with ours.
    "test_nested_exception_dispatch",
)  # fmt: skip


def test_joblibs_own_tests_pass_on_a_fleet() -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "tests.peers.joblib_on_a_fleet", "-p",
            "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings=",
            "-k", " and ".join(f"not {name}" for name in LEFT_OUT),
            "--pyargs", "joblib.test.test_parallel",
        ],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    print(done.stdout[-6000:])
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 100
    assert done.returncode == 0  # and the process has ended: no executor keeps it
