"""A Jupyter Server of its own process, as behind JupyterHub: with a prefix, and with a token."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fleets import eventually

TOKEN = "the token of this server"
PREFIX = "/user/somebody/"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class JupyterServer:
    """The server, and how a page talks to it."""

    process: subprocess.Popen[bytes]
    url: str
    root: Path
    log: Path

    @property
    def api(self) -> str:
        return f"{self.url}kernelfleet/api/"

    @property
    def watch_url(self) -> str:
        return self.api.replace("http:", "ws:", 1) + "watch"

    def ask(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request; without ``headers`` it has the token."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        request = urllib.request.Request(
            path if path.startswith("http") else self.api + path,
            method=method,
            data=data.encode() if isinstance(data, str) else data,
            headers={"Authorization": f"token {TOKEN}"} if headers is None else headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read().decode())

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: object = None) -> Answer:
        return self.ask("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self.ask("DELETE", path)

    def cookie(self) -> str:
        """The cookie of a browser that has logged in."""
        login = self.ask("GET", f"{self.url}api/contents")
        return login.headers["Set-Cookie"].partition(";")[0]

    def names(self) -> list[str]:
        return [fleet["name"] for fleet in self.get("fleets").json["fleets"]]


async def closed(page: Any) -> None:
    """Close a page's WebSocket, and wait until it is: else it would be left to the collector."""
    page.close()
    while await page.read_message() is not None:
        pass


def start_server(folder: Path, *options: str) -> JupyterServer:
    """Start a server, and return when it listens."""
    root = folder / "root"
    root.mkdir()
    command = [
        *(sys.executable, "-P", "-m", "jupyter_server", "--allow-root", "--no-browser"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={free_port()}"),
        f"--ServerApp.base_url={PREFIX}",
        *(f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={TOKEN}"),
        "--ServerApp.jpserver_extensions={'kernelfleet': True}",
        *options,
    ]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    runtime = Path(os.environ["JUPYTER_RUNTIME_DIR"])
    info = runtime / f"jpserver-{process.pid}.json"
    eventually(lambda: info.exists() or process.poll() is not None, 60)
    assert process.poll() is None, log.read_text()
    eventually(lambda: "}" in info.read_text())
    facts = json.loads(info.read_text())
    server = JupyterServer(process, facts["url"], root, log)
    eventually(lambda: answers(server), 60)
    return server


def free_port() -> int:
    """A port that nobody has now; older versions of the server do not tell which one they took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(server: JupyterServer) -> bool:
    try:
        return server.ask("GET", f"{server.url}api").status == 200
    except OSError:
        return False


def end_server(server: JupyterServer) -> None:
    server.process.terminate()
    try:
        assert server.process.wait(timeout=20) == 0, server.log.read_text()
    finally:
        server.process.kill()


@pytest.fixture(scope="package")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The server that the tests of this folder share."""
    pytest.importorskip("jupyter_server", reason="jupyter_server is not installed")
    server = start_server(tmp_path_factory.mktemp("jupyter"))
    yield server
    end_server(server)
