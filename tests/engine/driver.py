"""Starts one real engine and talks to it with plain sockets, as a controller would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.session import Session

from kernelfleet.provisioners.forkserver import ForkServer
from kernelfleet.wire.jupyter import encode_compact, is_compact, open_compact
from kernelfleet.wire.objects.serialize import pack, unpack
from tests.consoles import attached
from tests.engine.forked import Forked, fork

ROOT = Path(__file__).resolve().parents[2]
PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}


class Engine:
    """A running engine and the sockets of its controller."""

    def __init__(
        self, folder: Path, *arguments: str, fork_server: ForkServer | None = None
    ) -> None:
        self.folder = folder
        self.connection_file = folder / "e.json"
        self.key = uuid.uuid4().hex
        self._write_connection_file()
        self.log = (folder / "log").open("w+b")
        command = [
            sys.executable,
            "-m",
            "kernelfleet.engine",
            "-f",
            str(self.connection_file),
            "--Session.session=engine-session",
            f"--IPKernelApp.ipython_dir={folder / 'ipython'}",
            *arguments,
        ]
        env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
        env.update(JPY_PARENT_PID=str(os.getpid()), PYTHONPATH=str(ROOT))
        self.process: subprocess.Popen[bytes] | Forked = (
            subprocess.Popen(
                command, env=env, stdout=self.log, stderr=self.log, start_new_session=True
            )
            if fork_server is None
            else fork(fork_server, command, env, self.log.fileno())
        )
        self._interrupted = False
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.session = Session(key=self.key.encode(), digest_history_size=0)
        self.shell = self.connect(zmq.DEALER, "shell_port")
        self.control = self.connect(zmq.DEALER, "control_port")
        self.stdin = self.connect(zmq.DEALER, "stdin_port")
        self.iopub = self.connect(zmq.SUB, "iopub_port")

    def _write_connection_file(self) -> None:
        info = {
            "transport": "ipc",
            "ip": f"{self.connection_file}-ipc",
            "key": self.key,
            "signature_scheme": "hmac-sha256",
            **PORTS,
        }
        self.connection_file.write_text(json.dumps(info))

    def connect(self, kind: int, port: str) -> zmq.Socket[bytes]:
        """Open a socket to one of the kernel's channels."""
        socket = self.context.socket(kind)
        socket.linger = 0
        socket.reconnect_ivl = 10
        if kind == zmq.SUB:
            socket.rcvhwm = 0
            socket.subscribe(b"")
        socket.connect(f"ipc://{self.connection_file}-ipc-{PORTS[port]}")
        return socket

    def port_number(self, name: str) -> int:
        return PORTS[name]

    @contextmanager
    def console(self) -> Iterator[BlockingKernelClient]:
        """Attach as ``jupyter console --existing`` does."""
        try:
            with attached(self.connection_file) as client:
                yield client
        finally:
            wait_until(lambda: self.value("get_ipython().kernel.iopub_thread.subscriptions") == 1)

    # -- requests ---------------------------------------------------------------------------

    def send(
        self,
        msg_type: str,
        content: dict[str, Any] | None = None,
        buffers: Sequence[Any] = (),
        socket: zmq.Socket[bytes] | None = None,
    ) -> str:
        """Send a request, in the fleet's form if it is one of its own; returns its id."""
        if msg_type.startswith("fleet_"):
            msg_id = self.session.msg_id
            frames = encode_compact(self.session, msg_type, msg_id, content or {})
            (socket or self.shell).send_multipart([*frames, *buffers])
            return msg_id
        message = self.session.send(
            socket or self.shell, msg_type, content or {}, buffers=list(buffers)
        )
        assert message is not None
        return str(message["header"]["msg_id"])

    def receive(
        self, socket: zmq.Socket[bytes] | None = None, timeout: float = 10
    ) -> dict[str, Any]:
        """Receive one message."""
        socket = socket or self.shell
        deadline = time.monotonic() + timeout
        while not socket.poll(min(200, max(0, int((deadline - time.monotonic()) * 1000)))):
            assert time.monotonic() < deadline, "no message came"
            if self._interrupted:
                self.process.send_signal(signal.SIGURG)
        frames: list[bytes] = socket.recv_multipart()
        if is_compact([b"", *frames]):
            msg_type, msg_id, packed = open_compact(self.session, [b"", *frames])
            return {
                "msg_type": msg_type,
                "parent_header": {"msg_id": msg_id},
                "content": json.loads(packed),
                "buffers": frames[3:],
            }
        _, parts = self.session.feed_identities(frames)
        return self.session.deserialize(parts)

    def ask(
        self,
        msg_type: str,
        content: dict[str, Any] | None = None,
        buffers: Sequence[Any] = (),
        timeout: float = 20,
    ) -> dict[str, Any]:
        """Send a request and wait for its reply."""
        sent = self.send(msg_type, content, buffers)
        return self.reply_to(sent, timeout)

    def reply_to(self, sent: str, timeout: float = 20) -> dict[str, Any]:
        reply = self.receive(timeout=timeout)
        assert reply["parent_header"]["msg_id"] == sent
        return reply

    def ask_control(self, msg_type: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        sent = self.send(msg_type, content, socket=self.control)
        reply = self.receive(self.control)
        assert reply["parent_header"]["msg_id"] == sent
        return reply

    def set_up(self, engine_id: int = 0, n_engines: int = 1) -> None:
        """Tell the engine who it is, and wait until what it publishes reaches us.

        As the controller does: what is published before the engine has seen our subscription is
        lost, and the engine welcomes each subscriber it has seen.
        """
        identity = {"engine_id": engine_id, "n_engines": n_engines}
        setup = self.ask("fleet_setup_request", identity)
        assert setup["content"]["status"] == "ok"
        while self.receive(self.iopub)["msg_type"] != "iopub_welcome":
            pass

    def outputs(self, reply: dict[str, Any], timeout: float = 5) -> list[dict[str, Any]]:
        """Receive exactly the iopub messages that the reply announces."""
        wanted = reply["content"]["n_iopub"]
        msg_id = reply["parent_header"]["msg_id"]
        found: list[dict[str, Any]] = []
        while len(found) < wanted:
            message = self.receive(self.iopub, timeout)
            if message["parent_header"].get("msg_id") == msg_id:
                found.append(message)
        return found

    # -- verbs ------------------------------------------------------------------------------

    def execute(self, code: str, **content: Any) -> dict[str, Any]:
        """Run a cell; returns the reply's content with what was published."""
        reply = self.ask("fleet_execute_request", {"code": code, **content})
        return with_outputs(reply, self.outputs(reply))

    def push(self, **variables: Any) -> dict[str, Any]:
        return dict(self.ask("fleet_push_request", buffers=pack(variables))["content"])

    def pull(self, *names: str) -> list[Any]:
        reply = self.ask("fleet_pull_request", {"names": list(names)})
        assert reply["content"]["status"] == "ok", reply["content"]
        values: list[Any] = unpack(reply["buffers"])
        return values

    def value(self, expression: str) -> Any:
        """Evaluate an expression over there."""
        return self.apply(eval_there, expression)

    def ask_apply(self, function: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.ask("fleet_apply_request", buffers=pack((function, args, kwargs)))

    def apply(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        reply = self.ask_apply(function, *args, **kwargs)
        assert reply["content"]["status"] == "ok", reply["content"]
        return unpack(reply["buffers"])

    def keys(self) -> list[str]:
        return list(self.ask("fleet_keys_request")["content"]["keys"])

    def reset(self) -> None:
        assert self.ask("fleet_reset_request")["content"]["status"] == "ok"

    def interrupt(self) -> None:
        """Send a bare SIGINT, as somebody outside the fleet does.

        Python does not see one that comes just before a system call until that is over. The
        fleet's own interrupts are followed by nudges out of it, and so are these.
        """
        self.process.send_signal(signal.SIGINT)
        self._interrupted = True

    def wait_for_output(self, sent: str, text: str, timeout: float = 10) -> None:
        """Wait until the request has printed the text."""
        while True:
            message = self.receive(self.iopub, timeout)
            ours = message["parent_header"].get("msg_id") == sent
            if ours and text in message["content"].get("text", ""):
                return

    def close(self) -> None:
        """End the engine, whatever it does."""
        with suppress(ProcessLookupError):  # its children may have outlived it
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.context.destroy(linger=0)
        self.log.close()


def eval_there(expression: str) -> Any:
    from IPython import get_ipython

    return eval(expression, get_ipython().user_ns)


def with_outputs(reply: dict[str, Any], messages: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The reply's content, plus stdout, stderr and the other messages."""
    content = dict(reply["content"], stdout="", stderr="", messages=[], buffers=reply["buffers"])
    for message in messages:
        if message["msg_type"] == "stream":
            content[message["content"]["name"]] += message["content"]["text"]
        else:
            content["messages"].append(message)
    return content


def wait_until(condition: Any, timeout: float = 10) -> None:
    """Poll until something holds that no message announces."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
