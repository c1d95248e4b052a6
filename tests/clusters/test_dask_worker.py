"""dask_worker.py: what goes to a worker needs nothing of ours there."""

from __future__ import annotations

import pickle
import platform
import subprocess
import sys

import cloudpickle

from kernelfleet import __version__
from kernelfleet.clusters.dask_worker import INSTALLATION, starter


def test_what_is_installed_is_one_expression() -> None:
    assert eval(INSTALLATION) == {
        "host": platform.node(),
        "executable": sys.executable,
        "python": platform.python_version(),
        "kernelfleet": __version__,
    }


def test_where_nothing_is_installed_it_says_so() -> None:
    code = f"print(({INSTALLATION})['kernelfleet'])"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "None"


def test_the_starter_travels_as_code() -> None:
    packed = cloudpickle.dumps(starter())
    code = (
        "import sys, pickle\nsys.modules['kernelfleet'] = None\n"
        "print(pickle.loads(sys.stdin.buffer.read()).__name__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], input=packed, capture_output=True, check=True
    )
    assert run.stdout.decode().strip() == "start"
    assert pickle.loads(packed).__name__ == "start"
