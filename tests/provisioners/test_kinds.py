"""What tells one fork server from another, and the environment that it starts in."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelfleet.provisioners import kinds
from kernelfleet.provisioners.kinds import BUILD_ENGINE, environment_of, kind_of


def test_kinds_differ_by_what_is_read_before_the_fork() -> None:
    plain = kind_of([], {"HOME": "/"})
    assert kind_of([], {"HOME": "/", "OMP_NUM_THREADS": "4"}) == plain
    for name in ("PYTHONPATH", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "LC_ALL", "LANG"):
        assert kind_of([], {"HOME": "/", name: "x"}) != plain
    preloaded = kind_of(["numpy"], {"HOME": "/"})
    assert preloaded != plain
    assert kind_of(["numpy"], {"OMP_NUM_THREADS": "4"}) != preloaded
    assert kind_of(["numpy"], {"HOME": "/elsewhere"}) == preloaded


def test_a_fork_server_has_the_variables_of_its_kind_and_the_others_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("PMI_RANK", "1")
    plain = environment_of(kind_of([], {"PYTHONPATH": "/x"}))
    assert plain["PYTHONPATH"] == "/x"
    assert plain["OMP_NUM_THREADS"] == "3"
    assert plain.keys().isdisjoint({"PYTHONHASHSEED", "JPY_PARENT_PID", "PMI_RANK"})
    assert "OMP_NUM_THREADS" not in environment_of(kind_of(["numpy"], {}))


def test_a_shell_is_made_before_the_fork_only_if_ipython_runs_no_code_of_others_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "_IPYTHON_DIRECTORIES", (str(tmp_path / "etc"),))
    assert kind_of([], {}).prepare == (BUILD_ENGINE,)
    (tmp_path / "etc").mkdir()
    assert kind_of([], {}).prepare == (BUILD_ENGINE,)
    assert kind_of([], {"PYTHONSTARTUP": "/x.py"}).prepare == ()
    (tmp_path / "etc" / "ipython_config.py").touch()
    assert kind_of([], {}).prepare == ()


def test_the_directories_are_those_that_ipython_looks_in() -> None:
    from IPython.core import application

    looked_in = {*application.ENV_CONFIG_DIRS, *application.SYSTEM_CONFIG_DIRS}
    assert looked_in <= set(kinds._IPYTHON_DIRECTORIES)
