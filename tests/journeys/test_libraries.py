"""Libraries that take an executor, a pool or a map, with a fleet's."""

from __future__ import annotations

import asyncio
import operator
import os
from typing import Any

import numpy as np
import pytest

from kernelfleet import MultiEngineClient

pytestmark = pytest.mark.slow


def test_dask_runs_its_graphs_by_an_executor(mec: MultiEngineClient) -> None:
    dask = pytest.importorskip("dask")
    pids = set(mec.apply(os.getpid))
    with mec.executor() as executor, dask.config.set(scheduler=executor):
        squares = [dask.delayed(pow)(i, 2) for i in range(10)]
        assert dask.delayed(sum)(squares).compute() == 285
        assert dask.delayed(os.getpid)().compute() in pids


def test_scipy_evaluates_by_a_map(mec: MultiEngineClient) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    found = optimize.differential_evolution(
        optimize.rosen, [(0, 2)] * 2, workers=mec.map, updating="deferred", rng=1, maxiter=20
    )
    assert found.fun < 1


def test_emcee_samples_by_a_pool(mec: MultiEngineClient) -> None:
    emcee = pytest.importorskip("emcee")

    def log_probability(x: Any) -> float:
        return float(-0.5 * (x**2).sum())

    start = np.random.default_rng(1).normal(size=(8, 2))
    with mec.pool() as pool:
        sampler = emcee.EnsembleSampler(8, 2, log_probability, pool=pool)
        sampler.run_mcmc(start, 20)
    assert sampler.get_chain().shape == (20, 8, 2)


def test_dynesty_samples_by_a_pool(mec: MultiEngineClient) -> None:
    dynesty = pytest.importorskip("dynesty")
    with mec.pool() as pool:
        sampler = dynesty.NestedSampler(
            lambda x: float(-0.5 * (x**2).sum()), lambda u: 10 * u - 5, 2, nlive=50,
            pool=pool, queue_size=pool.size, rstate=np.random.default_rng(1),
        )  # fmt: skip
        sampler.run_nested(dlogz=0.5, print_progress=False)
    assert abs(sampler.results.logz[-1] - np.log(2 * np.pi / 100)) < 1  # a normal in a square


def test_asyncio_awaits_an_executor(mec: MultiEngineClient) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        with mec.executor() as executor:
            calls = (loop.run_in_executor(executor, operator.mul, i, i) for i in range(5))
            return list(await asyncio.gather(*calls))

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


def test_tqdm_counts_a_lazy_map(mec: MultiEngineClient, capsys: pytest.CaptureFixture[str]) -> None:
    tqdm = pytest.importorskip("tqdm")
    values = list(tqdm.tqdm(mec.imap(abs, range(-50, 0)), total=50))
    assert values == list(range(50, 0, -1))
    assert "50/50" in capsys.readouterr().err
