"""The kernelspec of a fleet: what it says, and where it is installed."""

from __future__ import annotations

import json
import logging
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from kernelfleet.wire.safe_start import SAFELY

#: What such a kernelspec has in its metadata, so that ours is told from others of its name.
MARK = "kernelfleet"

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">
<g fill="none" stroke="#4878cf" stroke-width="5"><rect x="6" y="6" width="22" height="22" rx="4"/>
<rect x="36" y="6" width="22" height="22" rx="4"/><rect x="6" y="36" width="22" height="22" rx="4"/>
<rect x="36" y="36" width="22" height="22" rx="4"/></g></svg>
"""


def kernelspec(display_name: str, options: Mapping[str, str]) -> dict[str, Any]:
    """What the file ``kernel.json`` says.

    Python looks for nothing in the current folder before the kernel is complete: it is run by a
    script (``wire/safe_start.py``).

    Args:
        display_name: How front ends show it.
        options: Options of the kernel's process, without dashes.
    """
    argv = [sys.executable, SAFELY, "kernelfleet.notebook.kernel", "-f", "{connection_file}"]
    argv += [f"--{name}={value}" for name, value in options.items()]
    return {
        "argv": argv,
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {
            "debugger": False,  # it would debug this process, and not the engines
            "supported_encryption": ["curve"],
            MARK: dict(options),
        },
    }


def display_name_of(options: Mapping[str, str]) -> str:
    """How front ends show a kernelspec if the user has not said so: ``Fleet (4 engines)``."""
    if connect := options.get("connect"):
        return f"Fleet {connect}"
    count = options.get("engines")
    words = "an engine per core" if count is None else "1 engine" if count == "1" else ""
    words = words or f"{count} engines"
    cluster = options.get("cluster")
    return f"Fleet ({words} of {cluster})" if cluster else f"Fleet ({words})"


def name_of(options: Mapping[str, str]) -> str:
    """The name of a kernelspec if the user has not said so: ``fleet-4``."""
    words = [options.get("connect") or options.get("engines", ""), options.get("cluster", "")]
    text = "-".join(["fleet", *filter(None, words)]).lower()
    return re.sub(r"[^a-z0-9._-]+", "-", text).strip("-")


def install(name: str, spec: Mapping[str, Any], *, user: bool, prefix: str | None) -> Path:
    """Write a kernelspec where front ends find it; an earlier one of ours is replaced.

    Args:
        name: Its name.
        spec: What ``kernel.json`` says.
        user: For this user, whatever environment the front end runs in.
        prefix: Otherwise the environment: its ``share/jupyter/kernels``.

    Returns:
        The folder of the kernelspec.

    Raises:
        ValueError: Another kernel has this name, or nothing can have it.
        OSError: It cannot be written there.
    """
    manager = KernelSpecManager(log=logging.getLogger("kernelfleet.kernelspecs"))
    try:
        there = manager.get_kernel_spec(name)
    except NoSuchKernel:
        there = None
    if there is not None and MARK not in there.metadata:
        raise ValueError(
            f"there is a kernel {name!r} ({there.display_name}) already, which is no fleet: choose "
            "another name with --name"
        )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", "utf-8")
        Path(folder, "logo-svg.svg").write_text(LOGO, "utf-8")
        Path(folder).chmod(0o755)
        return Path(manager.install_kernel_spec(folder, name, user=user, prefix=prefix))
