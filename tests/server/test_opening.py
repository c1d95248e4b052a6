"""Engines as kernels of Jupyter Server."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.server.opening import (
    EngineCannotBeOpened,
    ExternalKernelsOff,
    folder_of,
    kernel_id,
    place,
    sweep,
    sweep_server,
)
from tests.server.conftest import TOKEN, JupyterServer, closed, end_server, start_server


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
    assert not sweep(tmp_path / "not-there")


def test_with_the_server_all_copies_go(tmp_path: Path, engine_file: Path) -> None:
    looked = []
    manager = SimpleNamespace(
        external_connection_dir=str(tmp_path), list_kernel_ids=lambda: looked.append(1)
    )
    place(tmp_path, "work", 1, 77, str(engine_file), "python3")
    sweep_server(manager)
    assert looked == []
    sweep_server(manager, everything=True)
    assert looked == [1]
    assert list(tmp_path.iterdir()) == [engine_file]
    manager.external_connection_dir = None
    sweep_server(manager, everything=True)


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


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[JupyterServer]:
    pytest.importorskip("jupyter_server", reason="jupyter_server is not installed")
    server = start_server(tmp_path, "--ServerApp.allow_external_kernels=True")
    yield server
    end_server(server)


@pytest.mark.slow
def test_an_engine_is_used_as_a_kernel_of_the_server(open_server: JupyterServer) -> None:
    from kernelfleet import MultiEngineClient

    server = open_server
    server.post("fleets", {"name": "opened", "n": 2})
    with MultiEngineClient("opened") as mec:
        mec["secret"] = 4242
        opened = server.post("fleets/opened/engines/1/open").json
        ids = [kernel["id"] for kernel in kernels(server)]
        assert opened["kernel_id"] in ids
        assert (
            run_in(server, opened["kernel_id"], "print(secret, engine_id); own = 7") == "4242 1\n"
        )
        assert mec.pull("own", targets=1) == [7]
        server.post("fleets/opened/restart", {"targets": 1})
        assert opened["kernel_id"] not in [kernel["id"] for kernel in kernels(server)]
        again = server.post("fleets/opened/engines/1/open").json
        assert again["kernel_id"] != opened["kernel_id"]
    server.delete("fleets/opened")
    assert kernels(server) == []


def kernels(server: JupyterServer) -> Any:
    return server.get(f"{server.url}api/kernels").json


def run_in(server: JupyterServer, kernel_id: str, code: str) -> str:
    """Run code through the server's own WebSocket of a kernel, as JupyterLab does."""
    import asyncio

    from jupyter_client.session import Session
    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    async def run() -> str:
        url = f"{server.url}api/kernels/{kernel_id}/channels".replace("http:", "ws:", 1)
        socket = await websocket_connect(
            HTTPRequest(url, headers={"Authorization": f"token {TOKEN}"})
        )
        content = {"code": code, "silent": False, "store_history": True}
        message = {**Session().msg("execute_request", content), "channel": "shell", "buffers": []}
        await socket.write_message(json.dumps(message, default=str))
        text = ""
        async with asyncio.timeout(30):
            while True:
                answer = json.loads(str(await socket.read_message()))
                if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                    continue
                if answer["msg_type"] == "stream":
                    text += answer["content"]["text"]
                if answer["msg_type"] == "execute_reply":
                    assert answer["content"]["status"] == "ok", answer
                if (
                    answer["msg_type"] == "status"
                    and answer["content"]["execution_state"] == "idle"
                ):
                    await closed(socket)
                    return text

    return asyncio.run(run())
