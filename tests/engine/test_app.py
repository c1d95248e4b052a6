from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
import zmq

from kernelfleet.engine.app import NoShellChannelThread
from tests.engine.driver import ROOT, Engine


def test_the_stand_in_is_false_and_knows_the_main_thread() -> None:
    import threading

    stand_in = NoShellChannelThread()
    assert not stand_in
    assert stand_in.parent_thread is threading.main_thread()


def test_an_engine_is_lean_and_private(engine: Engine) -> None:
    assert engine.value("get_ipython().history_manager.enabled") is False
    assert engine.value("get_ipython().ipython_dir") == str(engine.folder / "ipython")
    assert engine.value("'debugpy' in __import__('sys').modules") is False
    assert engine.value("'sqlite3' in __import__('sys').modules") is False
    # 37 MB, which the first completion would cost
    assert engine.value("get_ipython().Completer.use_jedi") is False
    threads = engine.value("[t.name for t in __import__('threading').enumerate()]")
    assert "Shell channel" not in threads


def test_messages_carry_the_session_they_were_told(engine: Engine) -> None:
    reply = engine.ask("kernel_info_request")  # (replies to our own requests have no header)
    assert reply["header"]["session"] == "engine-session"


def test_an_engine_loads_nothing_of_client_or_controller(engine: Engine) -> None:
    loaded = engine.value("[n for n in __import__('sys').modules if n.startswith('kernelfleet')]")
    assert not [n for n in loaded if n.startswith(("kernelfleet.client", "kernelfleet.controller"))]


def test_importing_the_application_has_no_side_effects() -> None:
    import subprocess

    code = (
        "import asyncio, signal, sys, threading\n"
        "before = asyncio.run, signal.getsignal(signal.SIGINT), sys.stdout, list(sys.meta_path)\n"
        "import kernelfleet.engine.app\n"
        "assert before == (asyncio.run, signal.getsignal(signal.SIGINT), sys.stdout, "
        "list(sys.meta_path))\n"
        "assert threading.active_count() == 1"
    )
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=20)


def test_curve_keys_in_the_connection_file_are_used(start_engine: Callable[..., Engine]) -> None:
    if not zmq.has("curve"):
        pytest.skip("libzmq without CURVE")
    import json
    import shutil
    import tempfile
    from pathlib import Path

    public, secret = zmq.curve_keypair()

    class Curved(Engine):
        def _write_connection_file(self) -> None:
            super()._write_connection_file()
            info = json.loads(self.connection_file.read_text())
            info.update(curve_publickey=public.decode(), curve_secretkey=secret.decode())
            self.connection_file.write_text(json.dumps(info))

        def connect(self, kind: int, port: str) -> zmq.Socket[bytes]:
            socket = self.context.socket(kind)
            socket.linger = 0
            socket.reconnect_ivl = 10
            socket.curve_serverkey, socket.curve_publickey = public, public
            socket.curve_secretkey = secret
            if kind == zmq.SUB:
                socket.subscribe(b"")
            socket.connect(f"ipc://{self.connection_file}-ipc-{self.port_number(port)}")
            return socket

    engine = Curved(Path(tempfile.mkdtemp(prefix="kf-")))
    try:
        engine.set_up()
        assert engine.execute("print(1)")["stdout"] == "1\n"
    finally:
        engine.close()
        shutil.rmtree(engine.folder)
