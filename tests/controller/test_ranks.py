"""ranks.py: which variables engines get that are ranks of one job, and which GPU."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.controller import ranks
from kernelfleet.controller.options import FleetOptions
from kernelfleet.controller.ranks import (
    MeetingPoint,
    Ranks,
    find_gpus,
    gpu_variables,
    gpus_of,
    rank_variables,
)


def test_a_rank_is_told_who_it_is_here_and_among_all_and_where_all_meet() -> None:
    assert rank_variables(5, 8, 1, 4, MeetingPoint("10.0.0.1", 4711, 4712)) == {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "4711",
        "JAX_COORDINATOR_ADDRESS": "10.0.0.1:4712",
        "JAX_PROCESS_ID": "5",
        "JAX_NUM_PROCESSES": "8",
    }


def test_all_ranks_meet_at_the_same_ports_which_are_free_and_new_each_time() -> None:
    job = Ranks(2)
    first, second = job.variables(0), job.variables(1)
    assert first["MASTER_PORT"] == second["MASTER_PORT"]
    jax = first["JAX_COORDINATOR_ADDRESS"].partition(":")[2]
    assert jax != first["MASTER_PORT"]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", int(first["MASTER_PORT"])))
        listener.listen()
        job.renew()
        assert job.variables(0)["MASTER_PORT"] != first["MASTER_PORT"]


def test_variables_of_the_users_come_after_those_of_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "7")
    options = FleetOptions.of(2, ranks=True, env={"MASTER_ADDR": "localhost"})
    variables = options.environment(1)
    assert (variables["RANK"], variables["MASTER_ADDR"]) == ("1", "localhost")
    assert "WORLD_SIZE" not in FleetOptions.of(2).environment(1)
    with pytest.raises(TypeError, match="ranks is True or False, not 2"):
        FleetOptions.of(2, ranks=2)  # type: ignore[arg-type]


def test_gpus_are_those_that_this_process_may_use_else_those_of_the_driver(tmp_path: Path) -> None:
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert find_gpus({}, tmp_path) == ["0", "1"]
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-abc"}, tmp_path) == ["2", "GPU-abc"]
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == []
    assert find_gpus({}, tmp_path / "none") == []


@pytest.mark.parametrize(
    ("asked", "found", "expected"),
    [
        (False, ["0"], []),
        (True, ["3", "5"], ["3", "5"]),
        (2, ["3", "5", "6"], ["3", "5"]),
        (3, [], ["0", "1", "2"]),
    ],
)
def test_a_fleet_has_the_gpus_that_are_found_or_so_many(
    asked: Any, found: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "find_gpus", lambda: found)
    assert gpus_of(asked) == expected


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        (True, ValueError, "no GPU was found"),
        (0, ValueError, "gpus=0"),
        ("all", TypeError, "gpus is True, or how many there are, not 'all'"),
    ],
)
def test_gpus_that_are_not_there_are_an_error(
    asked: Any, error: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "find_gpus", list)
    with pytest.raises(error, match=text):
        gpus_of(asked)


def test_engines_share_gpus_in_turn_and_are_as_many_where_nothing_else_is_said() -> None:
    assert [gpu_variables(i, ["3", "5"])["CUDA_VISIBLE_DEVICES"] for i in range(3)] == [
        *("3", "5", "3")
    ]
    assert gpu_variables(0, []) == {}
    assert len(FleetOptions.of(gpus=3).kernels) == 3
    options = FleetOptions.of(2, gpus=3, env={"CUDA_VISIBLE_DEVICES": "9"})
    assert options.environment(0)["CUDA_VISIBLE_DEVICES"] == "9"
