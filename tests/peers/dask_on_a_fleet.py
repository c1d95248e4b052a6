"""A plugin of pytest: dask's own tests compute on a fleet's executor."""

from __future__ import annotations

from collections.abc import Iterator

import dask
import pytest

from kernelfleet import Fleet


@pytest.fixture(scope="session", autouse=True)
def _on_a_fleet() -> Iterator[None]:
    with Fleet(2) as mec, mec.executor() as pool, dask.config.set(scheduler=pool):
        yield
