"""Fleets of notebooks, seen and steered by the Jupyter Server that runs their kernels."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelfleet import MultiEngineClient
from tests.fleets import eventually
from tests.server.conftest import TOKEN, JupyterServer, closed, end_server, start_server

pytestmark = pytest.mark.slow


@pytest.fixture
def jupyter(tmp_path: Path) -> Iterator[JupyterServer]:
    pytest.importorskip("jupyter_server", reason="jupyter_server is not installed")
    server = start_server(tmp_path)
    yield server
    end_server(server)


class Notebook:
    """A notebook's kernel, as a page of JupyterLab starts and uses it."""

    def __init__(self, server: JupyterServer, path: str) -> None:
        self._server = server
        (server.root / path).write_text('{"cells": [], "metadata": {}, "nbformat": 4}')
        asked = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        made = server.ask("POST", f"{server.url}api/sessions", asked)
        assert made.status == 201, made.text
        self.session: str = made.json["id"]
        self.kernel: str = made.json["kernel"]["id"]

    def run(self, code: str) -> str:
        return asyncio.run(self._run(code))

    async def _run(self, code: str) -> str:
        from jupyter_client.session import Session
        from tornado.httpclient import HTTPRequest
        from tornado.websocket import websocket_connect

        url = f"{self._server.url}api/kernels/{self.kernel}/channels".replace("http:", "ws:", 1)
        authorization = {"Authorization": f"token {TOKEN}"}
        socket = await websocket_connect(HTTPRequest(url, headers=authorization))
        content = {"code": code, "silent": False, "store_history": True}
        message = {**Session().msg("execute_request", content), "channel": "shell", "buffers": []}
        await socket.write_message(json.dumps(message, default=str))
        text = ""
        async with asyncio.timeout(60):
            while True:
                answer = json.loads(str(await socket.read_message()))
                if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                    continue
                kind, said = answer["msg_type"], answer["content"]
                text += said["text"] if kind == "stream" else ""
                text += "\n".join(said["traceback"]) if kind == "error" else ""
                if kind == "status" and said["execution_state"] == "idle":
                    await closed(socket)
                    return text

    def restart(self) -> None:
        url = f"{self._server.url}api/kernels/{self.kernel}/restart"
        assert self._server.ask("POST", url).status == 200

    def close(self) -> None:
        url = f"{self._server.url}api/sessions/{self.session}"
        assert self._server.ask("DELETE", url).status == 204


def found(jupyter: JupyterServer, condition: Any) -> Any:
    fleets = jupyter.get("fleets").json["fleets"]
    return next((fleet for fleet in fleets if condition(fleet)), None)


def of_notebook(fleet: Any) -> bool:
    return str(fleet["owner"]["path"]).endswith("sweep.ipynb")


def test_a_fleet_of_a_notebook_is_seen_steered_and_ends_with_its_kernel(
    jupyter: JupyterServer,
) -> None:
    notebook = Notebook(jupyter, "sweep.ipynb")
    assert "2 engines ready" in notebook.run("%load_ext kernelfleet\n%fleet start -n 2")
    fleet = found(jupyter, of_notebook)
    assert (fleet["embedded"], fleet["owner"]["kind"]) == (True, "notebook")
    assert fleet["owner"]["path"] == str(jupyter.root / "sweep.ipynb")
    assert fleet["name"] == f"sweep-{fleet['pid']}"

    name = fleet["name"]
    assert jupyter.post(f"fleets/{name}/scale", {"n": 3}).json["ids"] == [0, 1, 2]
    assert notebook.run("print(mec.pull('engine_id'))") == "[0, 1, 2]\n"
    with MultiEngineClient(name) as other:
        other["a"] = 5
        assert notebook.run("print(mec['a'])") == "[5, 5, 5]\n"
        notebook.run("pending = mec.execute('while True: pass', block=False)")
        eventually(lambda: [each.state for each in other.engines()] == ["busy"] * 3)
    assert jupyter.post(f"fleets/{name}/interrupt").json == {"done": True}
    assert "KeyboardInterrupt" in notebook.run("pending.result(10)")

    pids = [row["pid"] for row in jupyter.get(f"fleets/{name}").json["engines"]]
    notebook.restart()
    eventually(lambda: found(jupyter, of_notebook) is None)
    eventually(lambda: not any(map(psutil.pid_exists, pids)))
    notebook.close()


def test_a_fleet_of_a_notebook_can_be_stopped_and_the_notebook_goes_on(
    jupyter: JupyterServer,
) -> None:
    notebook = Notebook(jupyter, "sweep.ipynb")
    notebook.run(
        "from kernelfleet import Fleet\nfleet = Fleet(1, name='named')\nmec = fleet.start()"
    )
    assert jupyter.delete("fleets/named").status == 204
    assert found(jupyter, of_notebook) is None
    assert notebook.run("print(fleet.running)") == "False\n"
    notebook.close()


def test_a_controller_that_hangs_delays_nothing_else(jupyter: JupyterServer) -> None:
    """Its fleet is shown as unreachable; the server's loop goes on meanwhile."""
    pids = {name: jupyter.post("fleets", {"name": name, "n": 1}).json["pid"] for name in "ab"}
    os.kill(pids["a"], signal.SIGSTOP)
    try:
        began = time.monotonic()
        asked: list[float] = []
        asking = asyncio.run(ask_meanwhile(jupyter, asked))
        states = {fleet["name"]: fleet["state"] for fleet in asking.json["fleets"]}
        assert (states["a"], states["b"]) == ("unreachable", "running")
        assert time.monotonic() - began < 10
        assert max(asked) < 1.0  # it answered others all the time
        (problem,) = [f["problem"] for f in asking.json["fleets"] if f["name"] == "a"]
        assert problem["remedy"]
        assert jupyter.delete("fleets/a").status == 204  # it is killed
    finally:
        if psutil.pid_exists(pids["a"]):
            os.kill(pids["a"], signal.SIGCONT)
    assert jupyter.delete("fleets/b").status == 204
    assert not {"a", "b"} & set(running())


async def ask_meanwhile(jupyter: JupyterServer, asked: list[float]) -> Any:
    """Ask for the fleets, and for the server's version again and again until that is answered."""
    asking = asyncio.create_task(asyncio.to_thread(jupyter.get, "fleets"))
    while not asking.done():
        began = time.monotonic()
        answer = await asyncio.to_thread(jupyter.get, f"{jupyter.url}api")
        assert answer.status == 200
        asked.append(time.monotonic() - began)
    return await asking


def test_a_daemon_outlives_the_server_that_started_it(tmp_path: Path) -> None:
    pytest.importorskip("jupyter_server", reason="jupyter_server is not installed")
    server = start_server(tmp_path)
    server.post("fleets", {"name": "outlives", "n": 1})
    assert "outlives" in server.names()  # a client is kept, and threads
    end_server(server)  # ends in order all the same
    with MultiEngineClient("outlives") as mec:
        assert len(mec) == 1
        mec.stop_fleet()
    eventually(lambda: "outlives" not in running())


def running() -> list[str]:
    from kernelfleet.wire.files.connection_file import find_fleets

    return [fleet.name for fleet in find_fleets()]


@pytest.mark.timeout(180)
def test_fifty_busy_engines_cost_the_server_little_and_a_closed_panel_nothing(
    jupyter: JupyterServer,
) -> None:
    assert jupyter.post("fleets", {"name": "fifty", "n": 50}).status == 201
    with MultiEngineClient("fifty") as mec:
        code = "import time\nwhile True:\n    print('x' * 40); time.sleep(0.05)"
        ids = mec.get_ids()

        async def look(seconds: float) -> tuple[int, float]:
            """So many messages came, and this part of a processor the server used."""
            from tornado.httpclient import HTTPRequest
            from tornado.websocket import websocket_connect

            authorization = {"Authorization": f"token {TOKEN}"}
            page = await websocket_connect(HTTPRequest(jupyter.watch_url, headers=authorization))
            said = {"type": "look", "at": "engines", "timeline": ["fifty"]}
            await page.write_message(json.dumps(said))
            await page.read_message()
            began, before, messages = time.monotonic(), seconds_of(jupyter), 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while await page.read_message() is not None:
                        messages += 1
                        change_all(mec, ids)
            used = (seconds_of(jupyter) - before) / (time.monotonic() - began)
            await closed(page)
            return messages, used

        mec.execute(code, block=False)
        messages, used = asyncio.run(look(8))
        print(f"{messages} messages in 8 s; {used:.1%} of a processor")
        assert 0 < messages <= 17  # at most two a second
        assert used < 0.1
        mec.interrupt()
    time.sleep(1)  # (what was asked last is answered)
    before = seconds_of(jupyter)
    time.sleep(5)
    assert seconds_of(jupyter) - before < 0.05
    assert jupyter.delete("fleets/fifty").status == 204


def change_all(mec: MultiEngineClient, ids: list[int]) -> None:
    """Have something else wait in every queue, so that every row changes."""
    mec.push({"a": 1}, targets=ids, block=False)


def seconds_of(jupyter: JupyterServer) -> float:
    times = psutil.Process(jupyter.process.pid).cpu_times()
    return float(times.user + times.system)
