"""command.py: which launcher is run, with which settings."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from pathlib import Path

import pytest

from kernelfleet.provisioners.mpi import command


def program(folder: Path, name: str) -> str:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs, on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    return folder


@pytest.fixture
def mpi4py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an installed mpi4py is."""
    folder = tmp_path / "mpi4py"
    folder.mkdir()
    spec = importlib.machinery.ModuleSpec("mpi4py", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(command, "find_spec", lambda _: spec)
    return folder


def test_a_command_of_the_users_gets_the_number_where_it_says_n(tmp_path: Path) -> None:
    argv = command.command(4, "srun -n {n} --tasks={n} 'a b'", tmp_path / "s")
    assert argv[:6] == ["srun", "-n", "4", "--tasks=4", "a b", sys.executable]
    assert argv[-2:] == ["kernelfleet.provisioners.mpi.rank", str(tmp_path / "s")]


def test_on_a_cluster_mpiexec_is_told_how_many_ranks_go_where(tmp_path: Path, path: Path) -> None:
    mpiexec, socket = program(path, "mpiexec"), tmp_path / "s"
    ours = ["-P", "-m", "kernelfleet.provisioners.mpi.rank", str(socket)]
    argv = command.command_on_hosts(3, None, {"a": 2, "b": 1}, "/there/python", socket)
    assert argv == [mpiexec, "-n", "3", "-host", "a:2,b:1", "/there/python", *ours]
    argv = command.command_on_hosts(3, "srun -n {n} -w {hosts}", {"a": 2, "b": 1}, "python", socket)
    assert argv == ["srun", "-n", "3", "-w", "a,b", "python", *ours]


@pytest.mark.parametrize(
    ("content", "library"),
    [(b"libmpi.so.40", "openmpi"), (b"..libmpich.so.12..", "mpich"), (b"libmpi.so.12", "mpich")],
)
def test_the_mpiexec_of_the_library_that_mpi4py_was_built_for_is_taken(
    path: Path, mpi4py: Path, content: bytes, library: str
) -> None:
    (mpi4py / "MPI.abc.so").write_bytes(content)
    for name in ("mpiexec", "mpiexec.openmpi", "mpiexec.mpich"):
        program(path, name)
    assert command.library_of_mpi4py() == library
    assert command.find_mpiexec() == str(path / f"mpiexec.{library}")
    (path / f"mpiexec.{library}").unlink()
    assert command.find_mpiexec() == str(path / "mpiexec")
    assert command.command(3, None, path)[:3] == [str(path / "mpiexec"), "-n", "3"]


def test_a_wheel_that_takes_any_library_decides_nothing(path: Path, mpi4py: Path) -> None:
    (mpi4py / "MPI.mpich.so").write_bytes(b"libmpi.so.12")
    (mpi4py / "MPI.openmpi.so").write_bytes(b"libmpi.so.40")
    mpiexec = program(path, "mpiexec")
    assert command.library_of_mpi4py() is None
    assert command.find_mpiexec() == mpiexec


def test_the_interpreters_own_mpiexec_comes_before_others(path: Path, mpi4py: Path) -> None:
    program(path, "mpiexec")
    beside = Path(sys.executable).parent
    beside.mkdir()
    mpiexec = program(beside, "mpiexec")
    assert command.find_mpiexec() == mpiexec


def test_without_an_mpiexec_it_is_said_what_to_install(mpi4py: Path) -> None:
    with pytest.raises(command.NoLauncherError, match="install Open MPI or MPICH"):
        command.find_mpiexec()


def test_ranks_share_the_cores_unless_the_user_has_decided_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    binding = "OMPI_MCA_hwloc_base_binding_policy"
    assert command.environment(2, {"PMI_RANK": "1", "HOME": "/"})[binding] == "none"
    assert "PMI_RANK" not in command.environment(2, {"PMI_RANK": "1"})
    assert command.environment(2, {binding: "core"})[binding] == "core"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert command.environment(2, {})["OMPI_ALLOW_RUN_AS_ROOT"] == "1"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "OMPI_ALLOW_RUN_AS_ROOT" not in command.environment(2, {})


def test_ranks_that_wait_yield_where_there_are_more_of_them_than_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "number_of_cores", lambda: 2)
    assert "MPIR_CVAR_POLLS_BEFORE_YIELD" not in command.environment(2, {})
    assert command.environment(3, {})["MPIR_CVAR_POLLS_BEFORE_YIELD"] == "1"
