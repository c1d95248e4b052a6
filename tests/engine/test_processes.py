"""An engine is an ordinary process: its threads, its children, its random numbers, its descriptors.

Each of these runs in a spawned engine and in a forked one.
"""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import Callable

import pytest

from tests.engine.driver import Engine

CHILDREN = {
    "subprocess": "import subprocess; print(subprocess.check_output(['echo', 'child'], text=True))",
    "os.system": "import os; print('child' if os.system('exit 7') == 7 << 8 else 'no')",
    "a shell escape": "!echo child",
    "fork": (
        "import multiprocessing\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    print('child' * (pool.map(abs, [-1, -2]) == [1, 2]))"
    ),
    "spawn": (
        "import multiprocessing\n"
        "with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "    print('child' * (pool.map(abs, [-1, -2]) == [1, 2]))"
    ),
    "a process pool": (
        "from concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(2) as pool:\n"
        "    print('child' * (list(pool.map(abs, [-1, -2])) == [1, 2]))"
    ),
    "os.fork": (
        "import os\npid = os.fork()\nif pid == 0: os._exit(3)\n"
        "print('child' * (os.waitpid(pid, 0)[1] == 3 << 8))"
    ),
}


@pytest.mark.parametrize("code", CHILDREN.values(), ids=CHILDREN)
def test_engines_have_children(engine: Engine, code: str) -> None:
    result = engine.execute(code)
    assert result["status"] == "ok", result
    assert "child" in result["stdout"]
    assert engine.execute("print(1)")["stdout"] == "1\n"


def test_asyncio_has_children_too(engine: Engine) -> None:
    code = """
        import asyncio
        process = await asyncio.create_subprocess_exec('echo', 'child', stdout=-1)
        print((await process.communicate())[0].decode())
    """
    assert "child" in engine.execute(textwrap.dedent(code))["stdout"]


def test_threads_run_and_print(engine: Engine) -> None:
    code = """
        import threading
        threads = [threading.Thread(target=print, args=[i]) for i in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    """
    # print writes a text and its end one by one, and another thread may come between
    printed = engine.execute(textwrap.dedent(code))["stdout"]
    assert sorted(printed) == sorted("0\n1\n2\n3\n")


def test_numpy_multiplies_with_its_threads(engine: Engine) -> None:
    code = """
        import numpy as np
        a = np.ones((700, 700))
        print(float((a @ a).sum()), float(np.linalg.inv(np.eye(300)).trace()))
    """
    assert engine.execute(textwrap.dedent(code))["stdout"].split() == ["343000000.0", "300.0"]


RANDOM = (
    "__import__('random').random()",
    "__import__('numpy').random.random()",
    "__import__('numpy').random.default_rng().random()",
    "str(__import__('uuid').uuid4())",
    "str(__import__('uuid').uuid1())",
    "__import__('tempfile').mktemp()",
    "__import__('secrets').token_hex()",
)


def test_no_two_engines_draw_the_same_random_numbers(start_engine: Callable[..., Engine]) -> None:
    engines = [start_engine() for _ in range(3)]
    for expression in RANDOM:
        assert len({engine.value(expression) for engine in engines}) == 3, expression


def test_an_engine_has_no_descriptor_that_is_not_its_own(
    start_engine: Callable[..., Engine], launch: str
) -> None:
    engine, _ = start_engine(), start_engine()
    code = (
        "import os\n"
        "def read(fd):\n"
        "    try: return os.readlink(f'/proc/self/fd/{fd}')\n"
        "    except OSError: return ''\n"
        "descriptors = [read(fd) for fd in os.listdir('/proc/self/fd')]\n"
    )
    engine.execute(code)
    descriptors = engine.value("descriptors")
    sockets = {each for each in descriptors if each.startswith("socket:")}
    ours = {read_link(os.getpid(), fd) for fd in os.listdir("/proc/self/fd")}
    assert not sockets & ours
    files = {each for each in descriptors if each.startswith("/") and "/proc/" not in each}
    assert files <= {str(engine.folder / "log"), "/dev/null"}
    pidfds = sum("pidfd" in each for each in descriptors)
    assert pidfds == (1 if launch == "forked" else 0)  # of the owner


def read_link(pid: int, fd: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def test_it_leads_a_session_and_has_no_terminal(engine: Engine) -> None:
    assert engine.value("__import__('os').getsid(0)") == engine.process.pid
    assert engine.value("__import__('os').getpgrp()") == engine.process.pid
    assert not engine.value("__import__('os').isatty(0)")


def test_signals_have_their_usual_handlers(engine: Engine) -> None:
    default = {
        name: engine.value(f"__import__('signal').getsignal(__import__('signal').{name})")
        for name in ("SIGTERM", "SIGCHLD", "SIGHUP", "SIGALRM")
    }
    assert set(default.values()) == {signal.SIG_DFL}, default
    assert engine.value("__import__('signal').pthread_sigmask(0, [])") == set()


def test_it_knows_how_it_was_started(engine: Engine) -> None:
    argv = engine.value("__import__('sys').argv")
    assert argv[0].endswith("kernelfleet/engine/__main__.py")
    assert argv[1:3] == ["-f", str(engine.connection_file)]
    original = engine.value("__import__('sys').orig_argv")
    assert original[1:5] == ["-m", "kernelfleet.engine", "-f", str(engine.connection_file)]


ENDS = {"os._exit(5)": 5, "os.kill(os.getpid(), 9)": -9, "os.abort()": -6}


@pytest.mark.parametrize(("code", "exit_code"), ENDS.items(), ids=ENDS)
def test_how_it_ended_is_known(
    start_engine: Callable[..., Engine], code: str, exit_code: int
) -> None:
    engine = start_engine()
    engine.send("fleet_execute_request", {"code": f"import os; {code}"})
    assert engine.process.wait(20) == exit_code


@pytest.mark.parametrize("by", ["", "faulthandler.enable()\n"], ids=["by itself", "asked"])
def test_a_crash_is_told_in_the_log(start_engine: Callable[..., Engine], by: str) -> None:
    engine = start_engine()
    code = f"import faulthandler\n{by}def crashing_here(): faulthandler._sigsegv()\ncrashing_here()"
    engine.send("fleet_execute_request", {"code": code})
    assert engine.process.wait(20) == -signal.SIGSEGV
    engine.log.seek(0)
    assert b"crashing_here" in engine.log.read()
