"""Engines as kernels of Jupyter Server."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernelfleet.server.opening import (
    EngineCannotBeOpened,
    ExternalKernelsOff,
    folder_of,
    kernel_id,
    place,
    sweep,
)
from tests.server.conftest import JupyterServer


@pytest.fixture
def engine_file(tmp_path: Path) -> Path:
    path = tmp_path / "kernel-1.json"
    path.write_text(json.dumps({"key": "secret", "transport": "ipc", "kernel_name": ""}))
    return path


def test_a_copy_is_its_owners_alone_and_names_a_kernelspec(
    tmp_path: Path, engine_file: Path
) -> None:
    copy = place(tmp_path / "external", "work", 1, 77, str(engine_file), "python3")
    assert json.loads(copy.read_text())["kernel_name"] == "python3"
    assert json.loads(copy.read_text())["key"] == "secret"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert place(tmp_path / "external", "work", 1, 77, str(engine_file), "python3") == copy
    again = place(tmp_path / "external", "work", 1, 78, str(engine_file), "python3")
    assert again != copy  # an engine that was started afresh is another kernel


def test_copies_go_with_their_engines_and_those_of_others_stay(
    tmp_path: Path, engine_file: Path
) -> None:
    folder = tmp_path / "external"
    copy = place(folder, "work", 1, 77, str(engine_file), "python3")
    foreign = folder / "somebody.json"
    foreign.write_text("{}")
    sweep(folder)
    assert copy.exists()
    engine_file.unlink()
    sweep(folder)
    assert [path.name for path in folder.iterdir()] == ["somebody.json"]
    sweep(tmp_path / "not-there")


def test_an_engine_without_a_connection_file_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(EngineCannotBeOpened, match="engine 1 cannot be read"):
        place(tmp_path, "work", 1, 77, str(tmp_path / "gone.json"), "python3")


def test_the_server_says_where_it_looks_and_under_which_id(tmp_path: Path) -> None:
    known = {"a": tmp_path / "a.json", "b": tmp_path / "b.json"}
    manager = SimpleNamespace(
        external_connection_dir=str(tmp_path), kernel_id_to_connection_file=known,
        list_kernel_ids=lambda: list(known),
    )  # fmt: skip
    assert folder_of(manager) == tmp_path
    assert kernel_id(manager, tmp_path / "b.json") == "b"
    assert kernel_id(manager, tmp_path / "c.json") is None
    manager.external_connection_dir = None
    with pytest.raises(ExternalKernelsOff):
        folder_of(manager)


def test_a_server_without_the_option_says_which_one(jupyter: JupyterServer) -> None:
    answer = jupyter.post("fleets/any/engines/0/open")
    assert answer.status == 409
    assert "only kernels that it has started" in answer.json["message"]
    assert "--ServerApp.allow_external_kernels=True" in answer.json["remedy"]
