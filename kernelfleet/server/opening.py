"""Opening a live engine as a notebook or a console: it becomes one of the server's kernels.

Jupyter Server lists kernels that it has not started if its option ``allow_external_kernels`` is on:
those whose connection files are in one folder. An engine is put there by a copy of its connection
file, which goes when the engine is there no more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: The copies are named ``kernelfleet-<fleet>-<engine>-<pid>.json``.
PREFIX = "kernelfleet-"
#: Where a copy has the path of the engine's own connection file.
SOURCE = "kernelfleet_source"


class ExternalKernelsOff(Exception):
    """The server lists only kernels that it has started itself."""


class EngineCannotBeOpened(Exception):
    """The engine has no connection file that could be used: it is dead, or on another machine."""


def folder_of(kernel_manager: Any) -> Path:
    """Where the server looks for connection files of others.

    Args:
        kernel_manager: The manager of the server's kernels.

    Raises:
        ExternalKernelsOff: it does not look for any.
    """
    folder = getattr(kernel_manager, "external_connection_dir", None)
    if not folder:
        raise ExternalKernelsOff("this Jupyter server lists only kernels that it has started")
    return Path(folder)


def place(folder: Path, fleet: str, engine: int, pid: int | None, file: str, kernel: str) -> Path:
    """Put a copy of an engine's connection file where the server finds it.

    Args:
        folder: Where.
        fleet: The name of the fleet.
        engine: The id of the engine.
        pid: Its process, so that an engine that was started afresh is another kernel.
        file: The engine's own connection file.
        kernel: The kernelspec that says which language it speaks.

    Returns:
        The copy, which is readable by its owner alone.

    Raises:
        EngineCannotBeOpened: the engine's own connection file cannot be read.
    """
    from jupyter_core.paths import secure_write

    try:
        info = json.loads(Path(file).read_text())
    except (OSError, ValueError) as error:
        raise EngineCannotBeOpened(
            f"the connection file of engine {engine} cannot be read: {error}"
        ) from error
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = folder / f"{PREFIX}{fleet}-{engine}-{pid}.json"
    if not copy.exists():
        with secure_write(str(copy)) as stream:
            stream.write(json.dumps({**info, "kernel_name": kernel, SOURCE: file}))
    return copy


def sweep(folder: Path, *, everything: bool = False) -> bool:
    """Remove the copies of engines that are there no more, so that they are not listed.

    Args:
        folder: Where.
        everything: Whether to remove those of engines that are there as well.

    Returns:
        Whether there were any.
    """
    swept = False
    for copy in folder.glob(f"{PREFIX}*.json"):
        try:
            source = json.loads(copy.read_text()).get(SOURCE, "")
        except (OSError, ValueError):
            continue  # it is just being written, or somebody else has removed it
        if everything or not Path(source).exists():
            copy.unlink(missing_ok=True)
            swept = True
    return swept


def sweep_server(kernel_manager: Any, *, everything: bool = False) -> None:
    """Have a server list no engines that were restarted or have ended."""
    try:
        folder = folder_of(kernel_manager)
    except ExternalKernelsOff:
        return
    if sweep(folder, everything=everything):
        kernel_manager.list_kernel_ids()  # it looks into the folder


def kernel_id(kernel_manager: Any, copy: Path) -> str | None:
    """Under which id the server has the kernel of a connection file; None if it does not."""
    kernel_manager.list_kernel_ids()  # it looks into the folder
    known: dict[str, Path] = kernel_manager.kernel_id_to_connection_file
    return next((each for each, path in known.items() if Path(path) == copy), None)
