"""Many engines: started, used and stopped once."""

from __future__ import annotations

import time

import pytest

from kernelfleet import Fleet
from tests.journeys.leftovers import assert_nothing_left, take_stock


@pytest.mark.parametrize("n", [16, pytest.param(64, marks=pytest.mark.slow)])
def test_a_large_fleet_starts_works_and_stops(n: int) -> None:
    before = take_stock()
    with Fleet(n=n) as mec:
        assert mec.get_ids() == list(range(n))
        assert mec.pull("n_engines") == [n] * n
        assert mec.apply(lambda: engine_id * 2) == [2 * i for i in range(n)]  # type: ignore[name-defined]  # noqa: F821
        mec.scatter("part", list(range(10 * n)))
        assert mec.gather("part") == list(range(10 * n))
        assert mec.execute("print(engine_id)").stdout == [f"{i}\n" for i in range(n)]
        assert list(mec.map(lambda x: -x, range(1000))) == [-x for x in range(1000)]
        began = time.monotonic()
    assert time.monotonic() - began < 2.0 * max(1, n / 32)
    assert_nothing_left(before)
