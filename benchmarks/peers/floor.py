"""The floor: bare forked IPython processes, one blocking socket each, and nothing else.

No queue, no signature, no history, no result but the value, and no faults: whoever does this work
with Python and ZMQ cannot be faster by much.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import cloudpickle
import IPython.core.interactiveshell  # noqa: F401 (what is forked has it)
import zmq

from benchmarks.peers.base import Peer

_READY, _CELL, _CALL, _END = b"r", b"x", b"f", b"q"


def _engine(url: str, name: bytes) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, name)
    socket.connect(url)
    socket.send(_READY)
    while (message := socket.recv_multipart())[0] != _END:
        if message[0] == _CELL:
            shell.run_cell(message[1].decode(), store_history=True)
            socket.send(_READY)
        else:
            function, args = pickle.loads(message[1])
            socket.send(pickle.dumps(function(*args)))


class FloorPeer(Peer):
    name = "floor"

    def start(self, n: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kf-floor-", dir="/tmp")
        url = f"ipc://{self._folder.name}/s"
        self._context: zmq.Context[Any] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(url)
        self._names = [str(i).encode() for i in range(n)]
        fork = multiprocessing.get_context("fork")
        made = [fork.Process(target=_engine, args=(url, name), daemon=True) for name in self._names]
        for each in made:
            each.start()
        self._processes = made
        for _ in made:
            self._router.recv_multipart()

    def stop(self) -> None:
        for name in self._names:
            self._router.send_multipart([name, _END])
        for each in self._processes:
            each.join()
        self._context.destroy(linger=0)
        self._folder.cleanup()

    def _ask(self, names: list[bytes], *message: bytes) -> list[bytes]:
        for name in names:
            self._router.send_multipart([name, *message])
        answers = dict(self._router.recv_multipart() for _ in names)
        return [answers[name] for name in names]

    def execute(self, code: str) -> None:
        self._ask(self._names, _CELL, code.encode())

    def execute_on_one(self, code: str) -> None:
        self._ask(self._names[:1], _CELL, code.encode())

    def apply(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        call = cloudpickle.dumps((function, args))
        return [pickle.loads(answer) for answer in self._ask(self._names, _CALL, call)]


def make() -> Peer:
    return FloorPeer()
