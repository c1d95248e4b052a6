"""The owner's half of the fork server: kinds, answers that come late, several event loops."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from kernelfleet.provisioners import forkserver
from kernelfleet.provisioners.forkserver import (
    ForkedProcess,
    ForkServer,
    ForkServerError,
    PreloadError,
)
from kernelfleet.provisioners.kinds import Kind
from kernelfleet.provisioners.servers import Servers
from tests.fleets import eventually, until

NO_MODULES = Kind((), ())


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(NO_MODULES)
    yield server
    server.close()


@pytest.fixture
def module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module for ``python -m``: runs the code it is given."""
    (folder / "run_code.py").write_text("import sys\nexec(sys.argv[1])\n")
    monkeypatch.chdir(folder)
    return "run_code"


def argv(code: str, module: str = "run_code") -> list[str]:
    return [sys.executable, "-m", module, code]


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def fork(server: ForkServer, code: str) -> ForkedProcess:
    return await server.fork(argv(code), dict(os.environ), os.getcwd(), [1, 2])


@pytest.mark.usefixtures("module")
def test_a_process_tells_its_end_and_takes_signals(server: ForkServer) -> None:
    ended = asyncio.run(fork(server, "sys.exit(3)"))
    assert ended.wait() == 3
    ended.send_signal(signal.SIGTERM)  # to nobody
    sleeping = asyncio.run(fork(server, "import time; time.sleep(60)"))
    assert sleeping.poll() is None
    sleeping.terminate()
    assert sleeping.wait() == -signal.SIGTERM
    assert sleeping.exit_code_known


@pytest.mark.usefixtures("module")
def test_an_exit_by_words_is_told_as_python_does(
    server: ForkServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert asyncio.run(fork(server, "sys.exit('in words')")).wait() == 1
    assert asyncio.run(fork(server, "1 / 0")).wait() == 1
    assert asyncio.run(fork(server, "import atexit; atexit.register(print, 'bye')")).wait() == 0
    told = capfd.readouterr()
    assert "in words" in told.err
    assert "ZeroDivisionError" in told.err
    assert told.out == "bye\n"


@pytest.mark.usefixtures("module")
def test_several_threads_and_loops_fork_from_one_server(server: ForkServer) -> None:
    def fork_some() -> list[int | None]:
        async def some() -> list[ForkedProcess]:
            return await asyncio.gather(*(fork(server, "sys.exit(5)") for _ in range(5)))

        return [process.wait() for process in asyncio.run(some())]

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(fork_some) for _ in range(40)]
        codes = [future.result(30) for future in asked]
    assert codes == [[5] * 5] * 40


@pytest.mark.usefixtures("module")
def test_a_start_given_up_leaves_no_process(server: ForkServer) -> None:
    async def give_up() -> None:
        task = asyncio.create_task(fork(server, "import time; time.sleep(60)"))
        await asyncio.sleep(0)  # the request is on its way
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert asyncio.run(fork(server, "pass")).wait() == 0  # the late answer has come before

    def alone() -> bool:
        server.pump()
        return not psutil.Process(server.pid).children()

    eventually(alone)


def test_a_server_that_dies_refuses_the_next_fork(server: ForkServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: psutil.Process(server.pid).status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(ForkServerError, match="fork server"):
        asyncio.run(fork(server, "pass"))
    assert not server.alive
    with pytest.raises(ForkServerError, match="fork server"):
        asyncio.run(fork(server, "pass"))


def test_a_module_that_cannot_be_loaded_refuses_every_fork() -> None:
    server = ForkServer(Kind((), (), ("no_such_module", "json")))
    for _ in range(2):
        with pytest.raises(PreloadError, match="cannot preload no_such_module: ModuleNotFound"):
            asyncio.run(fork(server, "pass"))
    server.close()


def test_a_kernel_may_do_without_a_module_of_its_own() -> None:
    server = ForkServer(Kind((("no_such_module", "f"),), ()))
    asyncio.run(fork(server, "pass"))
    assert "no_such_module" in server.failed["no_such_module.f"]
    server.close()


@pytest.mark.usefixtures("module")
def test_descriptors_beyond_1023_work() -> None:
    """``select.select`` does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        pytest.skip("this system allows no more descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        server = ForkServer(NO_MODULES)
        assert server.fileno() > 1023
        process = asyncio.run(fork(server, "sys.exit(4)"))
        assert process.wait() == 4
        server.close()
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_last_user_ends_the_server() -> None:
    servers = Servers()
    server = servers.take(NO_MODULES)
    assert server is not None
    assert servers.take(NO_MODULES) is server
    servers.release(NO_MODULES)
    assert server.alive
    servers.release(NO_MODULES)
    assert not psutil.pid_exists(server.pid)
    servers.release(NO_MODULES)  # once too often


def test_a_forked_owner_has_servers_of_its_own() -> None:
    code = """
import os, sys
from kernelfleet.provisioners.kinds import Kind
from kernelfleet.provisioners.servers import Servers
servers, kind = Servers(), Kind((), ())
ours = servers.take(kind)
child = os.fork()
if child == 0:
    theirs = servers.take(kind)
    good = theirs is not ours
    servers.release(kind)
    os._exit(0 if good else 1)
assert os.waitpid(child, 0)[1] == 0
assert ours.alive
servers.release(kind)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.usefixtures("module")
def test_it_outlives_the_thread_that_started_it() -> None:
    """PR_SET_PDEATHSIG would tell of that thread's end."""
    found: list[ForkServer] = []
    thread = threading.Thread(target=lambda: found.append(ForkServer(NO_MODULES)))
    thread.start()
    thread.join()
    assert asyncio.run(fork(found[0], "sys.exit(6)")).wait() == 6
    found[0].close()


def test_a_kernel_that_nobody_waits_for_any_more_is_ended(server: ForkServer, module: str) -> None:
    async def give_up() -> None:
        await fork(server, "pass")  # the fork server has loaded what it needs
        asking = asyncio.ensure_future(fork(server, "import time; time.sleep(300)"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: not server._watching)  # it comes after our having given up

    asyncio.run(asyncio.wait_for(give_up(), 30))
    eventually(lambda: not any(map(lives, psutil.Process(server.pid).children())))


@pytest.mark.usefixtures("module")
def test_a_server_that_was_stopped_goes_on_when_it_is_needed(server: ForkServer) -> None:
    async def forks() -> None:
        for _ in range(2):
            os.kill(server.pid, signal.SIGSTOP)
            process = await fork(server, "sys.exit(3)")
        os.kill(server.pid, signal.SIGSTOP)
        await until(lambda: process.poll() is not None)
        assert process.returncode == 3

    begun = time.monotonic()
    asyncio.run(asyncio.wait_for(forks(), 20))
    os.kill(server.pid, signal.SIGSTOP)
    server.close()
    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("module")
def test_a_server_that_is_stopped_while_it_is_asked_goes_on_soon(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = [True]  # the first signal comes before it is stopped
    monkeypatch.setattr(server, "wake", lambda: asleep.pop() if asleep else ForkServer.wake(server))

    async def forks() -> int | None:
        os.kill(server.pid, signal.SIGSTOP)
        return (await fork(server, "sys.exit(3)")).wait()

    assert asyncio.run(asyncio.wait_for(forks(), 20)) == 3


@pytest.mark.usefixtures("module")
def test_a_server_that_does_not_answer_is_not_waited_for_as_long_as_one_that_loads(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forks() -> None:
        await fork(server, "pass")
        monkeypatch.setattr(server, "wake", lambda: None)
        monkeypatch.setattr("kernelfleet.provisioners.forkserver.FORK_TIMEOUT", 0.1)
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(ForkServerError, match=r"does not answer: not within 0\.1 s"):
            await fork(server, "pass")

    asyncio.run(asyncio.wait_for(forks(), 10))


def test_who_waits_for_a_kernel_is_told_when_the_server_is_ended(
    server: ForkServer, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end() -> None:
        monkeypatch.setattr(server, "wake", lambda: None)
        os.kill(server.pid, signal.SIGSTOP)  # it will not answer
        asking = asyncio.ensure_future(fork(server, "pass"))
        await until(lambda: bool(server._answers))
        server.close()
        with pytest.raises(ForkServerError, match="was ended"):
            await asking

    asyncio.run(asyncio.wait_for(end(), 10))


@pytest.mark.usefixtures("module")
def test_a_kernel_that_has_ended_before_it_is_looked_at_has_its_exit_code(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(pid: int) -> int:
        raise ProcessLookupError

    async def start() -> ForkedProcess:
        monkeypatch.setattr(os, "pidfd_open", too_late)
        return await fork(server, "sys.exit(5)")

    assert asyncio.run(start()).wait() == 5


def test_the_time_for_a_fork_begins_when_what_is_preloaded_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ForkServer(NO_MODULES)
    server.close()
    now = 100.0
    monkeypatch.setattr(forkserver, "WAKE_SECONDS", 0.001)
    monkeypatch.setattr(forkserver, "time", SimpleNamespace(monotonic=lambda: now))
    server._ready_at = None

    async def ask() -> tuple[int, str]:
        nonlocal now
        answer: Future[int] = Future()
        asking = asyncio.ensure_future(server._answer_to(answer))
        await asyncio.sleep(0)
        now += 3 * forkserver.FORK_TIMEOUT  # it reads much data
        server._take({"ready": True, "failed": {}})
        await asyncio.wait([asking], timeout=0.05)
        assert not asking.done()
        answer.set_result(4711)
        pid = await asking
        waiting = asyncio.ensure_future(server._answer_to(Future()))
        await asyncio.sleep(0)
        now += 2 * forkserver.FORK_TIMEOUT
        with pytest.raises(TimeoutError) as told:
            await asyncio.wait_for(waiting, 5)
        return pid, str(told.value)

    assert asyncio.run(ask()) == (4711, "not within 5 s")
