from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.driver import ROOT, Engine, wait_until


def leftovers(engine: Engine) -> set[str]:
    return {path.name for path in engine.folder.iterdir()} - {"e.json", "ipython", "log"}


@pytest.mark.parametrize("code", ["exit()", "quit()", "exit", "print(1); exit()"])
def test_exit_in_a_cell_ends_the_engine(start_engine: Callable[..., Engine], code: str) -> None:
    engine = start_engine()
    begun = time.monotonic()
    reply = engine.ask("fleet_execute_request", {"code": code})
    assert reply["content"]["exiting"] is True
    engine.outputs(reply)
    assert engine.process.wait(10) == 0
    assert time.monotonic() - begun < 5
    assert not leftovers(engine)


def test_a_consoles_exit_ends_the_engine_too(start_engine: Callable[..., Engine]) -> None:
    engine = start_engine()
    engine.send("execute_request", {"code": "exit", "silent": False})
    assert engine.process.wait(10) == 0


def shut_down(engine: Engine) -> None:
    reply = engine.ask_control("shutdown_request", {"restart": False})
    assert reply["content"]["status"] == "ok"


def test_shutdown_replies_and_leaves_at_once(start_engine: Callable[..., Engine]) -> None:
    for _ in range(5):
        engine = start_engine()
        begun = time.monotonic()
        shut_down(engine)
        assert engine.process.wait(10) == 0
        assert time.monotonic() - begun < 5
        assert not leftovers(engine)


STUBBORN = {
    "a zombie child": "import subprocess; p = subprocess.Popen(['true'])",
    "a child that ignores SIGTERM": (
        "import subprocess; p = subprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep 60'])"
    ),
    "a thread that prints": (
        "import threading\ndef work():\n    while True: print('x', flush=True)\n"
        "threading.Thread(target=work).start()"
    ),
    "an atexit function that hangs": "import atexit, time; atexit.register(time.sleep, 60)",
    "a process pool": (
        "from concurrent.futures import ProcessPoolExecutor\npool = ProcessPoolExecutor(1)\n"
        "print(pool.submit(len, 'abc').result())"
    ),
}


@pytest.mark.parametrize("code", STUBBORN.values(), ids=STUBBORN)
def test_nothing_delays_the_departure(start_engine: Callable[..., Engine], code: str) -> None:
    engine = start_engine()
    assert engine.ask("fleet_execute_request", {"code": code})["content"]["status"] == "ok"
    begun = time.monotonic()
    shut_down(engine)
    engine.process.wait(10)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", "while True: pass"])
def test_shutdown_ends_a_busy_engine(start_engine: Callable[..., Engine], code: str) -> None:
    engine = start_engine()
    sent = engine.send("fleet_execute_request", {"code": f"print('now', flush=True)\n{code}"})
    engine.wait_for_output(sent, "now")
    begun = time.monotonic()
    shut_down(engine)
    assert engine.process.wait(10) == 0
    assert time.monotonic() - begun < 5


def test_pool_workers_end_with_the_engine(start_engine: Callable[..., Engine]) -> None:
    engine = start_engine()
    engine.execute(STUBBORN["a process pool"])
    pids = engine.value("[p.pid for p in __import__('multiprocessing').active_children()]")
    assert pids
    shut_down(engine)
    engine.process.wait(10)
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_the_users_atexit_functions_run_and_print(start_engine: Callable[..., Engine]) -> None:
    engine = start_engine()
    path = engine.folder / "goodbye"
    engine.execute(f"import atexit\n@atexit.register\ndef bye(): open({str(path)!r}, 'w').close()")
    engine.execute("atexit.register(print, 'bye')")
    shut_down(engine)
    engine.process.wait(10)
    assert path.exists()
    text = ""
    while "bye" not in text:
        text += engine.receive(engine.iopub)["content"].get("text", "")


def test_an_engine_dies_with_its_parent_while_c_code_holds_the_gil() -> None:
    with tempfile.TemporaryDirectory(prefix="kf-") as folder:
        # a parent of its own, which is killed
        code = (
            "import sys, pathlib\nsys.path.insert(0, sys.argv[1])\n"
            "from tests.engine.driver import Engine\n"
            "engine = Engine(pathlib.Path(sys.argv[2]))\n"
            "engine.set_up()\n"
            "sent = engine.send('fleet_execute_request', "
            "{'code': 'print(1, flush=True)\\nsum(range(10**11))'})\n"
            "engine.wait_for_output(sent, '1')\n"
            "print(engine.process.pid, flush=True)\nengine.receive(timeout=60)"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", code, str(ROOT), folder], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        with parent.stdout:
            line = parent.stdout.readline()
            parent.send_signal(signal.SIGKILL)
            parent.wait()
        pid = int(line)
        wait_until(lambda: not is_running(pid), timeout=10)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_an_engine_whose_parent_is_already_gone_does_not_start() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with tempfile.TemporaryDirectory(prefix="kf-") as folder:
        file = os.path.join(folder, "e.json")
        env = dict(os.environ, JPY_PARENT_PID=str(gone.pid), PYTHONPATH=str(ROOT))
        command = [sys.executable, "-m", "kernelfleet.engine", "-f", file]
        assert subprocess.run(command, env=env, timeout=10, check=False).returncode == 1
        assert not os.path.exists(file)
