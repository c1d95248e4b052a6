"""Kernels of other environments: kernelspecs whose interpreter lacks something, or is another one.

Most of them are this very interpreter, which is told to hide packages or to claim another version:
that costs no more than any kernel. A real other Python is found where the machine has one with
ipykernel: under its usual name on the PATH, or named by ``KERNELFLEET_OTHER_PYTHONS`` (paths,
separated as in PATH).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import lru_cache

from tests.conftest import HOME

_LAUNCH = "from ipykernel import kernelapp; kernelapp.launch_new_instance()"

#: Makes packages as if they were not installed; what is provided before it is found all the same.
_HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""

#: Makes kernelfleet of another version, which lacks what this one has.
_OLD = """
import sys, types
old = sys.modules["kernelfleet"] = types.ModuleType("kernelfleet")
old.__path__, old.__version__ = [], "0.0.1"
"""

#: Makes cloudpickle one that lacks what we take of it.
_OLD_CLOUDPICKLE = """
import sys, types
old = sys.modules["cloudpickle"] = types.ModuleType("cloudpickle")
old.__path__, old.__version__ = [], "1.0.0"
name = "cloudpickle.cloudpickle"
old.cloudpickle = sys.modules[name] = types.ModuleType(name)
old.cloudpickle.Pickler = object
"""

#: Makes Python say that it is another one.
_CLAIM = "import platform; platform.python_version = lambda: {version!r}\n"


def hiding(*names: str) -> str:
    return _HIDE.format(names=names)


def old_kernelfleet() -> str:
    return _OLD


def old_cloudpickle() -> str:
    return _OLD_CLOUDPICKLE


def claiming(version: str) -> str:
    return _CLAIM.format(version=version)


def kernelspec(name: str, *preludes: str, python: str = sys.executable) -> str:
    """Install a kernelspec of ipykernel's kernel, before which the preludes run; its name."""
    folder = HOME / "data" / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "argv": [python, "-c", "".join(preludes) + _LAUNCH, "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    return name


@lru_cache
def other_python() -> str | None:
    """An interpreter of another minor version that has ipykernel, or None."""
    named = os.environ.get("KERNELFLEET_OTHER_PYTHONS", "").split(os.pathsep)
    usual = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    for path in [*named, *usual]:
        if path and _is_other(path):
            return path
    return None


def _is_other(path: str) -> bool:
    code = "import ipykernel, sys; print(*sys.version_info[:2])"
    asked = subprocess.run(
        [path, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    here = f"{sys.version_info[0]} {sys.version_info[1]}"
    return asked.returncode == 0 and asked.stdout.strip() != here
