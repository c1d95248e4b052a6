"""Managers of a test's own, whose kernels end with it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.provisioners.servers import servers


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: Unix socket paths end at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="kf-p-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def run() -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Run a coroutine without fork servers of others; afterwards there is none of its own."""
    others = servers._servers, servers._users  # of fleets that other tests share
    servers._servers, servers._users = {}, Counter()
    yield lambda coroutine: asyncio.run(asyncio.wait_for(coroutine, 90))
    left = list(servers._servers.values())
    servers._servers, servers._users = others
    for server in left:
        server.close()
    assert not left
