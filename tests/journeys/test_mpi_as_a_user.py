"""MPI worlds of an ordinary user, where the tests themselves run as root, as in containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provisioners.mpi.launching import INSTALLED, environment

ROOT = Path(__file__).parents[2]
USER = "nobody"

#: Runs a command as that user, who sees the interpreter also where only root can look.
_AS_A_USER = """
set -e
mount --make-rprivate /
if [ -n "$HIDDEN" ]; then
    mount --bind "$PYTHON" /mnt
    mount -t tmpfs none "$HIDDEN"; chmod 755 "$HIDDEN"; mkdir -p "$PYTHON"
    mount --bind /mnt "$PYTHON"
fi
exec setpriv --reuid="$AS" --regid="$(id -g "$AS")" --clear-groups "$@"
"""

WORLD = """
import os, sys
from kernelfleet import Fleet
env = dict(each.split("=", 1) for each in sys.argv[2:])
with Fleet(2, mpiexec=sys.argv[1], env=env) as mec:
    mec.execute("import os; from mpi4py import MPI; comm = MPI.COMM_WORLD")
    print(mec.execute("comm.allreduce(comm.rank + 1), os.getuid() > 0").values())
    mec.restart()
    print(mec.execute("from mpi4py import MPI; MPI.COMM_WORLD.size").values())
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="all tests of MPI run as a user here"
    ),
    pytest.mark.skipif(
        not (shutil.which("unshare") and shutil.which("setpriv")), reason="needs util-linux"
    ),
]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of that user."""
    home = Path(tempfile.mkdtemp(prefix="kf-u-", dir="/tmp"))
    shutil.chown(home, USER)
    yield home
    shutil.rmtree(home)


@pytest.mark.parametrize("library", INSTALLED)
def test_an_ordinary_user_has_worlds_of_each_mpi(library: str, home: Path) -> None:
    python = Path(sys.base_prefix).resolve()
    hidden = [each for each in python.parents if not each.stat().st_mode & 0o001]
    settings = [f"{name}={text}" for name, text in environment(library, home).items()]
    done = subprocess.run(
        [
            *("unshare", "-m", "sh", "-c", _AS_A_USER, "_"),
            *(sys.executable, "-c", WORLD, f"mpiexec.{library} -n {{n}}", *settings),
        ],
        env={
            "HOME": str(home), "USER": USER, "AS": USER, "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHON": str(python), "HIDDEN": str(hidden[0]) if hidden else "",
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )  # fmt: skip
    if "Permission denied" in done.stderr and not done.stdout:
        pytest.skip(f"{USER} cannot read this installation: {done.stderr[-200:]}")
    assert done.stdout.splitlines() == ["[(3, True), (3, True)]", "[2, 2]"], done.stderr
    left = subprocess.run(["pgrep", "-u", USER, "-f", "kernelfleet"], check=False)
    assert left.returncode == 1
