"""A node's private runtime directory, on the machine itself.

A home directory may lie on a file system that all nodes share, where locks and Unix sockets do not
work, and where two nodes of one fleet would meet. So a node has a fresh directory in the temporary
folder of its machine. What a node that was killed has left there is removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kernelfleet.wire.files.private_files import is_ours, open_private, try_lock

PREFIX = "kfn-"
#: A directory that is younger may belong to a node that has not taken its lock yet.
YOUNG_SECONDS = 60.0


@contextlib.contextmanager
def private_runtime_directory() -> Iterator[Path]:
    """Within the block: Jupyter's runtime directory of this process is one that nobody shares."""
    parent = Path(tempfile.gettempdir())
    remove_stale(parent, time.time() - YOUNG_SECONDS)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    os.environ["JUPYTER_RUNTIME_DIR"] = str(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_stale(parent: Path, before: float) -> list[Path]:
    """Remove what nodes that were killed have left.

    Args:
        parent: The temporary folder.
        before: Directories that were changed later are left alone, as seconds since the epoch.

    Returns:
        What was removed.
    """
    removed = []
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            info = path.lstat()
            is_old = is_ours(info) and path.is_dir() and info.st_mtime < before
            if is_old and not _is_in_use(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def _is_in_use(path: Path) -> bool:
    """Whether a node holds the lock of its fleet directory."""
    for lock_path in path.glob("kernelfleet/*/lock"):
        lock = open_private(lock_path, os.O_RDWR, above=2)
        try:
            if not try_lock(lock):
                return True
        finally:
            os.close(lock)
    return False
