"""Managers of a test's own, whose kernels end with it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.provisioners.forkserver import servers


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: Unix socket paths end at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="kf-p-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def run() -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Run a coroutine; afterwards there is no fork server."""
    yield lambda coroutine: asyncio.run(asyncio.wait_for(coroutine, 90))
    left = list(servers._servers.values())
    servers._servers.clear()
    servers._users.clear()
    for server in left:
        server.close()
    assert not left
