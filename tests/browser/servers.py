"""JupyterLab and Notebook servers with this clone's extension, for the tests in a browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-these-tests"

CONFIG = """
c.ServerApp.allow_root = True
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = {root!r}
c.IdentityProvider.token = {token!r}
c.ServerApp.allow_external_kernels = {external!r}
c.LabApp.expose_app_in_browser = True
c.JupyterNotebookApp.expose_app_in_browser = True
"""

#: The question about news would stand before everything else.
QUIET = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


def notebook_with(*sources: str) -> dict[str, Any]:
    """A notebook file with code cells."""
    return {
        "cells": [
            {
                "cell_type": "code", "id": f"cell-{i}", "metadata": {}, "source": source,
                "outputs": [], "execution_count": None,
            }
            for i, source in enumerate(sources)
        ],
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def frontends_of(*packages: str) -> Iterator[tuple[str, Path]]:
    """The extensions of JupyterLab that come with packages, wherever those are installed."""
    for package in packages:
        try:
            files = metadata.files(package) or ()
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == "package.json" and "labextensions" in file.parts:
                start = file.parts.index("labextensions") + 1
                folder = Path(str(file.locate())).resolve().parent
                yield "/".join(file.parts[start:-1]), folder


class Server:
    """A server on a port of its own, with Jupyter directories of its own.

    Args:
        python: The interpreter whose packages it uses.
        application: ``jupyterlab`` or ``notebook``.
        external_kernels: Whether it lists kernels that it has not started.
    """

    def __init__(
        self, python: str, application: str = "jupyterlab", *, external_kernels: bool = True
    ) -> None:
        # (short, because the paths of Unix sockets end at 107 bytes)
        self.home = Path(tempfile.mkdtemp(prefix="kf-b-", dir="/tmp"))
        self.root = self.home / "root"
        self.root.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.python = python
        self.environment = {**os.environ, **self._directories()}
        config = self.home / "config.py"
        text = CONFIG.format(root=str(self.root), token=TOKEN, external=external_kernels)
        config.write_text(text)
        command = [python, "-m", application, f"--config={config}", f"--port={self.port}"]
        self.log = self.home / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, cwd=self.root
            )
        self._wait()

    def _directories(self) -> dict[str, str]:
        """The directories of Jupyter: this clone's extension is in them, whatever is installed."""
        data, config = self.home / "share", self.home / "etc"
        (data / "labextensions").mkdir(parents=True)
        # (Old servers and new versions of tornado together follow no links out of this folder.)
        shutil.copytree(
            ROOT / "kernelfleet" / "labextension", data / "labextensions" / "kernelfleet"
        )
        if self.python == sys.executable:
            for name, folder in frontends_of("jupyterlab_widgets", "ipympl"):
                (data / "labextensions" / name).parent.mkdir(exist_ok=True)
                (data / "labextensions" / name).symlink_to(folder)
        shutil.copytree(
            ROOT / "jupyter-config" / "server-config", config / "jupyter_server_config.d"
        )
        (config / "labconfig").mkdir()
        (config / "labconfig" / "page_config.json").write_text(json.dumps(QUIET))
        return {
            "JUPYTER_PATH": str(data),
            "JUPYTER_CONFIG_PATH": str(config),
            "JUPYTER_CONFIG_DIR": str(self.home / "user"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "run"),
            "IPYTHONDIR": str(self.home / "ipython"),
            "PYTHONPATH": str(ROOT),
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                self.ask("api/status")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"the server does not answer: {self.log.read_text()}")

    def ask(self, path: str, method: str = "GET", body: Any = None, token: str = TOKEN) -> Any:
        """The JSON that the server answers."""
        request = urllib.request.Request(
            f"{self.url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def run(self, *arguments: str) -> str:
        """What a Python with the server's packages and directories prints."""
        done = subprocess.run(
            [self.python, *arguments], env=self.environment, cwd=self.root,
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stdout + done.stderr

    def write(self, name: str, *sources: str) -> None:
        """Put a notebook with code cells into its folder."""
        (self.root / name).write_text(json.dumps(notebook_with(*sources)))

    def stop(self) -> None:
        """End it, and forget its directories."""
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.home, ignore_errors=True)
