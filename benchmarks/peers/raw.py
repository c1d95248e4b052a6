"""The protocol's floor: one blocking ZMQ client that broadcasts ``execute_request``.

One message is signed once and sent to every kernel; all replies and all idle states are waited
for and parsed, signatures unchecked. There is no controller, no history, no result.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.session import Session

from benchmarks.peers.base import Peer

PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
TIMEOUT_MS = 60_000


class RawPeer(Peer):
    name = "raw"

    def start(self, n: int) -> None:
        # not $TMPDIR: a Unix socket's path is short
        self.folder = Path(tempfile.mkdtemp(prefix="kf-raw-", dir="/tmp"))
        self.session = Session(key=uuid.uuid4().hex.encode())
        self.context: zmq.Context[Any] = zmq.Context()
        self.processes = [self._launch(i) for i in range(n)]
        self.shells = [self._connect(zmq.DEALER, i, "shell_port") for i in range(n)]
        self.iopubs = [self._connect(zmq.SUB, i, "iopub_port") for i in range(n)]
        self.poller = zmq.Poller()
        for socket in (*self.shells, *self.iopubs):
            self.poller.register(socket, zmq.POLLIN)
        for shell in self.shells:
            self._ask_until_answered(shell)

    def _launch(self, i: int) -> subprocess.Popen[bytes]:
        file = self.folder / f"{i}.json"
        info = {"transport": "ipc", "ip": str(self.folder / f"{i}"), **PORTS}
        info |= {"key": self.session.key.decode(), "signature_scheme": "hmac-sha256"}
        file.write_text(json.dumps(info))
        command = [sys.executable, "-m", "benchmarks.peers.lean_kernel", "-f", str(file)]
        env = {**os.environ, "IPYTHONDIR": str(self.folder / "ipython")}
        env["JPY_PARENT_PID"] = str(os.getpid())  # it ends with us
        return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)

    def _connect(self, kind: int, i: int, port: str) -> zmq.Socket[Any]:
        socket: zmq.Socket[Any] = self.context.socket(kind)
        socket.linger = 0
        socket.reconnect_ivl = 10
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(f"ipc://{self.folder / str(i)}-{PORTS[port]}")
        return socket

    def _ask_until_answered(self, shell: zmq.Socket[Any]) -> None:
        """The first idle state may come before the subscription: the reply is enough."""
        shell.send_multipart(self._request("kernel_info_request", {})[1])
        if not shell.poll(TIMEOUT_MS):
            raise RuntimeError("a lean kernel does not answer")
        shell.recv_multipart()

    def _request(self, msg_type: str, content: dict[str, Any]) -> tuple[str, list[bytes]]:
        message = self.session.msg(msg_type, content)
        return message["header"]["msg_id"], self.session.serialize(message)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self.context.destroy(linger=0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, code: str) -> None:
        self._execute(code, self.shells)

    def execute_on_one(self, code: str) -> None:
        self._execute(code, self.shells[:1])

    def _execute(self, code: str, shells: list[zmq.Socket[Any]], count: int = 1) -> None:
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        sent = set()
        for _ in range(count):
            msg_id, frames = self._request("execute_request", content)
            sent.add(msg_id)
            for shell in shells:
                shell.send_multipart(frames)
        replies = idle = len(shells) * count
        while replies or idle:
            ready = self.poller.poll(TIMEOUT_MS)
            if not ready:
                raise RuntimeError("a lean kernel does not answer")
            for socket, _ in ready:
                kind, parent, message = _parse(socket.recv_multipart())
                if parent not in sent:
                    continue
                if kind == "execute_reply":
                    replies -= 1
                    if message["status"] != "ok":
                        raise RuntimeError(message)
                elif kind == "status" and message["execution_state"] == "idle":
                    idle -= 1

    def execute_many(self, code: str, count: int) -> None:
        self._execute(code, self.shells[:1], count)


def _parse(frames: list[bytes]) -> tuple[str, str | None, dict[str, Any]]:
    """The message's type, whom it answers, and its content."""
    at = frames.index(b"<IDS|MSG>") + 2  # after the signature
    header, parent = json.loads(frames[at]), json.loads(frames[at + 1])
    return header["msg_type"], parent.get("msg_id"), json.loads(frames[at + 3])


def make() -> Peer:
    return RawPeer()
