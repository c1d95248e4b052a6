"""options.py: what a fleet is to be, and what is wrong with it before anything is started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.controller.options import FleetOptions
from kernelfleet.wire.platforms import number_of_cores


def variables(options: FleetOptions) -> set[str]:
    """The names of the variables that engine 0 gets."""
    return {name for name, value in options.environment(0).items() if value is not None}


@pytest.mark.parametrize(
    ("n", "kernel", "kernels"),
    [
        (2, None, (None, None)),
        (2, "python3", ("python3", "python3")),
        (None, ["python3", None], ("python3", None)),
        (2, ["python3", None], ("python3", None)),
        (None, None, (None,) * number_of_cores()),
    ],
)
def test_a_fleet_has_as_many_engines_as_said_as_kernels_are_named_or_as_there_are_cores(
    n: Any, kernel: Any, kernels: Any
) -> None:
    assert FleetOptions.of(n, kernel=kernel).kernels == kernels


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n": 0}, ValueError, "a fleet has at least one engine, not 0"),
        ({"n": 2.0}, TypeError, r"n is how many engines, not 2\.0"),
        ({"n": True}, TypeError, "n is how many engines, not True"),
        ({"n": 3, "kernel": ["python3"]}, ValueError, "n=3, but 1 kernels are named"),
        ({"env": ["A=1"]}, TypeError, "env is a dict or a function of the engine id, not list"),
        ({"on_start": b"x"}, TypeError, "on_start is the text of some code, not bytes"),
        ({"preload": "numpy"}, TypeError, "preload is a list of modules' names or a script"),
        ({"preload": [1]}, TypeError, "preload is a list of modules' names and scripts"),
        ({"preload": "no.py"}, FileNotFoundError, "preload: there is no script"),
        ({"preload": __file__, "fork": False}, ValueError, "are not forked: use on_start"),
        ({"preload": [__file__], "kernel": "x"}, ValueError, "own engines: kernel= cannot be"),
        ({"fork": 1}, TypeError, "fork is True or False, not 1"),
        ({"insecure_kernel": "no"}, TypeError, "insecure_kernel is True or False, not 'no'"),
        ({"mpi": 1}, TypeError, "mpi is True or False, not 1"),
        ({"mpiexec": ["srun"]}, TypeError, "mpiexec is the text of a command, not"),
        ({"mpiexec": " "}, ValueError, "not an empty text"),
        ({"mpi": True, "kernel": "python3"}, ValueError, "kernel= cannot be given with mpi"),
        ({"restart": "always"}, ValueError, "restart is 'never' or 'on-death', not 'always'"),
        ({"limits": [("queue_length", 1)]}, TypeError, "limits is a dict of limits by name"),
        ({"limits": {"queue_lenght": 1}}, Exception, "queue_lenght"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_by_name_at_once(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        FleetOptions.of(**{"n": 1, **options})


def test_the_environment_of_an_engine_is_ours_and_what_the_user_adds_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OURS", "1")
    assert FleetOptions.of(1).environment(0)["OURS"] == "1"
    assert FleetOptions.of(1, env={"OURS": "2"}).environment(0)["OURS"] == "2"
    gpu = FleetOptions.of(2, env=lambda engine_id: {"CUDA_VISIBLE_DEVICES": str(engine_id)})
    assert [gpu.environment(each)["CUDA_VISIBLE_DEVICES"] for each in (0, 1)] == ["0", "1"]
    assert gpu.environment(0)["PATH"] == os.environ["PATH"]


def test_a_command_that_starts_ranks_makes_a_world() -> None:
    assert FleetOptions.of(2, mpiexec="srun -n {n}").mpi
    assert not FleetOptions.of(2).mpi


def test_none_unsets_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    assert variables(FleetOptions.of(1, env={"OURS": None, "NEVER_SET": None})) == variables(
        FleetOptions.of(1)
    ) - {"OURS"}
    assert "OURS" not in variables(FleetOptions.of(1, env=lambda _: {"OURS": None}))


def test_an_engine_is_not_the_rank_that_this_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "1")
    for options in (FleetOptions.of(1), FleetOptions((None,))):
        assert "PMI_RANK" not in variables(options)
    assert "PMI_RANK" in variables(FleetOptions.of(1, env={"PMI_RANK": "2"}))


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"A": 1}, "env is of strings, or None to unset a variable: 'A' cannot be 1"),
        ({1: "A"}, "env is of strings, or None to unset a variable: 1 cannot be 'A'"),
        (lambda _: "A=1", r"env\(0\) is to be a dict, not str"),
    ],
)
def test_an_environment_that_no_process_can_have_is_refused(env: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        FleetOptions.of(1, env=env).environment(0)


def test_the_folder_of_engines_that_start_later_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = FleetOptions.of(1, cwd="here")
    monkeypatch.chdir("/")
    assert options.cwd == str(tmp_path / "here")
    assert FleetOptions.of(1).cwd is None


def test_a_cluster_is_told_as_it_was_named() -> None:
    assert FleetOptions.of(1).cluster_name is None
    assert FleetOptions.of(1, cluster="ssh:a,b").cluster_name == "ssh:a,b"
    assert FleetOptions.of(1, cluster=Path("scheduler.json")).cluster_name == "scheduler.json"
    assert FleetOptions.of(1, cluster=Path).cluster_name == "type"


def test_where_ranks_meet_and_which_gpus_there_are_is_found_on_the_nodes_of_a_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    options = FleetOptions.of(2, cluster="ssh:a,b", ranks=True, gpus=True)
    assert (options.ranks, options.ranks_on_nodes, options.gpus_of_nodes) == (None, True, True)
    assert FleetOptions.of(cluster="ssh:a,b", gpus=3).kernels == ()  # as many as nodes have room
    here = FleetOptions.of(2, ranks=True, gpus=3)
    assert (here.ranks_on_nodes, here.gpus_of_nodes) == (False, False)
    with pytest.raises(ValueError, match="gpus=0"):
        FleetOptions.of(2, cluster="ssh:a,b", gpus=0)
