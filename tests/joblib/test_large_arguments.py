"""large_arguments.py: which arguments travel by themselves; the rest is in test_backend.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("joblib")

from joblib.parallel import BatchedCalls

from kernelfleet.joblib.large_arguments import Keeper, size_of


def test_only_large_arguments_are_kept() -> None:
    keeper = Keeper(None, "all")  # type: ignore[arg-type]  # nothing is sent
    batch = BatchedCalls([(abs, (3,), {"y": np.zeros(10)})], (None, None))
    assert keeper.without_large(batch) == (batch, 80)
    assert keeper.without_large(abs) == (abs, 0)
    assert (size_of(np.zeros(10)), size_of([0] * 100)) == (80, 0)


@pytest.mark.parametrize(
    ("package", "make"),
    [
        ("pandas", lambda pandas: pandas.DataFrame({"x": np.zeros(1000)})),
        ("scipy.sparse", lambda sparse: sparse.csr_matrix(np.ones((100, 100)))),
        ("polars", lambda polars: polars.DataFrame({"x": np.zeros(1000)})),
        ("pyarrow", lambda pyarrow: pyarrow.table({"x": np.zeros(1000)})),
    ],
)
def test_the_size_of_tables_is_known(package: str, make: Callable[[Any], Any]) -> None:
    assert size_of(make(pytest.importorskip(package))) >= 8000
