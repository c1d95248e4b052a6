"""Engines as the ranks of a job of torch or JAX."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors.tree import UnsupportedOperation
from tests.nodes import make_ssh, path_with

StartFleet = Callable[..., MultiEngineClient]

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")

JAX = """
import os, jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
jax.distributed.initialize(
    num_processes=int(os.environ["JAX_NUM_PROCESSES"]), process_id=int(os.environ["JAX_PROCESS_ID"])
)
mesh = Mesh(np.array(jax.devices()), "x")
part = jax.make_array_from_process_local_data(
    NamedSharding(mesh, PartitionSpec("x")), np.full((1, 3), engine_id + 1.0)
)
add = jax.shard_map(
    lambda a: jax.lax.psum(a, "x"),
    mesh=mesh, in_specs=PartitionSpec("x"), out_specs=PartitionSpec(),
)
total = np.asarray(jax.jit(add)(part).addressable_data(0)).tolist()
"""

TORCH = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
x = torch.full((3,), float(dist.get_rank() + 1))
dist.all_reduce(x)
total = x.tolist()
"""


def test_each_engine_is_a_rank_and_all_get_new_ports_when_all_are_restarted(
    start_fleet: StartFleet,
) -> None:
    mec = start_fleet(2, ranks=True)

    def told() -> list[list[str | None]]:
        return mec.apply(lambda names: [os.environ.get(name) for name in names], NAMES)

    before = told()
    assert [each[:3] for each in before] == [["0", "2", "0"], ["1", "2", "1"]]
    assert before[0][3] == before[1][3]
    with pytest.raises(UnsupportedOperation, match=r"they are 2 ranks \(WORLD_SIZE\)"):
        mec.scale(3)
    mec.restart(1)
    assert told() == before
    mec.restart()
    after = told()
    assert after[0][3] == after[1][3] != before[0][3]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
@pytest.mark.parametrize("cluster", [None, "ssh:one,two"])
def test_jax_adds_over_engines_also_after_a_restart(
    cluster: str | None, start_fleet: StartFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_with(make_ssh(tmp_path)))
    mec = start_fleet(2, ranks=True, env={"JAX_PLATFORMS": "cpu"}, cluster=cluster)
    for _ in range(2):
        mec.execute(JAX, timeout=90)
        assert mec.pull("total") == [[[3.0] * 3]] * 2
        assert mec.execute("jax.process_index(), jax.process_count()").values() == [(0, 2), (1, 2)]
        mec.restart()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_torch_adds_over_engines_also_after_a_restart(start_fleet: StartFleet) -> None:
    mec = start_fleet(2, ranks=True)
    for _ in range(2):
        mec.execute(TORCH, timeout=90)
        assert mec.pull("total") == [[3.0] * 3] * 2
        mec.restart()
