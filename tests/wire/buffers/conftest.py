"""Whatever is shared, no descriptor of it stays."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest


def descriptors() -> int:
    """How many this process has."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def descriptors_come_back() -> Iterator[None]:
    """After the test there are no more than before."""
    before = descriptors()
    yield
    assert descriptors() <= before  # fleets that other tests share may have closed some
