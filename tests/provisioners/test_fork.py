"""The provisioner under a plain AsyncKernelManager, outside of any fleet."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelfleet.provisioners.fork import ForkProvisioner, _is_this_interpreter
from kernelfleet.provisioners.forkserver import ForkedProcess, ForkServer, PreloadError
from kernelfleet.provisioners.servers import servers
from tests.fleets import eventually, until
from tests.provisioners.kernels import connect, evaluate, is_forked, make, provisioner, spec

Run = Callable[[Coroutine[Any, Any, None]], None]
MODULES = ("ipykernel_launcher", "kernelfleet.engine")


def test_jupyter_client_finds_it_by_its_name() -> None:
    (entry,) = entry_points(group="jupyter_client.kernel_provisioners", name="kernelfleet-fork")
    assert entry.load() is ForkProvisioner


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
@pytest.mark.parametrize("module", MODULES)
def test_a_forked_kernel_talks_with_encryption(
    run: Run, folder: Path, module: str, transport: str
) -> None:
    async def talk() -> None:
        manager = make(folder, spec(module), transport=transport, transport_encryption="required")
        await manager.start_kernel()
        assert is_forked(manager)
        assert manager.curve_publickey
        client = await connect(manager)
        assert await evaluate(client, "6 * 7") == 42
        client.stop_channels()
        await manager.shutdown_kernel()

    run(talk())


@pytest.mark.parametrize("module", MODULES)
def test_a_kernel_is_interrupted_restarted_and_ended(run: Run, folder: Path, module: str) -> None:
    async def steer() -> None:
        manager = make(folder, spec(module), transport="ipc")
        await manager.start_kernel()
        client = await connect(manager)
        pid = await evaluate(client, "__import__('os').getpid()")
        assert pid == provisioner(manager).pid

        sent = client.execute("print('now', flush=True)\nwhile True: pass")
        while (await client.get_iopub_msg(timeout=20))["content"].get("text") != "now\n":
            continue
        await manager.interrupt_kernel()
        reply = await client.get_shell_msg(timeout=20)
        assert reply["parent_header"]["msg_id"] == sent
        assert reply["content"]["ename"] == "KeyboardInterrupt"

        await manager.restart_kernel(now=True)
        assert is_forked(manager)
        await client.wait_for_ready(timeout=60)
        again = await evaluate(client, "__import__('os').getpid()")
        assert again == provisioner(manager).pid != pid
        client.stop_channels()
        await manager.shutdown_kernel()
        assert not psutil.pid_exists(again)
        assert not await manager.is_alive()

    run(steer())


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", -9), ("get_ipython().ask_exit()", 0)],
)
def test_how_a_kernel_ended_is_known(run: Run, folder: Path, code: str, exit_code: int) -> None:
    async def end() -> None:
        manager = make(folder, transport="ipc")
        await manager.start_kernel()
        client = await connect(manager)
        client.execute(f"import os; {code}")
        process = provisioner(manager).process
        assert await asyncio.wait_for(provisioner(manager).wait(), 20) == exit_code
        assert process.poll() == exit_code
        assert await provisioner(manager).poll() == 0  # as after a Popen was waited for
        client.stop_channels()
        await manager.cleanup_resources()

    run(end())


def test_what_a_plain_kernel_leaves_to_do_at_exit_is_done(run: Run, folder: Path) -> None:
    async def end() -> None:
        manager = make(folder, transport="ipc")
        await manager.start_kernel()
        client = await connect(manager)
        path = folder / "goodbye"
        code = f"import atexit\n@atexit.register\ndef bye(): open({str(path)!r}, 'w').close()"
        await client.execute_interactive(code, timeout=20)
        client.stop_channels()
        await manager.shutdown_kernel()
        assert path.exists()

    run(end())


async def values(
    folder: Path, *expressions: str, kernel: Any = None, **start: Any
) -> tuple[list[Any], bool]:
    """What expressions are in a fresh kernel, and whether that was forked."""
    manager = make(folder, kernel, transport="ipc")
    await manager.start_kernel(**start)
    client = await connect(manager)
    found = [await evaluate(client, expression) for expression in expressions]
    forked = is_forked(manager)
    client.stop_channels()
    await manager.shutdown_kernel(now=True)
    return found, forked


ENVIRONMENTS = {
    "a variable": ({"ANY": "thing"}, "__import__('os').environ['ANY']", "thing"),
    "PYTHONPATH": ({"PYTHONPATH": "/nowhere"}, "'/nowhere' in __import__('sys').path", True),
    "PYTHONHASHSEED": ({"PYTHONHASHSEED": "0"}, "__import__('sys').flags.hash_randomization", 0),
    "LD_LIBRARY_PATH": (
        {"LD_LIBRARY_PATH": "/nowhere"},
        "b'LD_LIBRARY_PATH=/nowhere' in open(f'/proc/{__import__(\"os\").getppid()}/environ','rb')"
        ".read()",
        True,
    ),
    "OMP_NUM_THREADS": (
        {"OMP_NUM_THREADS": "3"},
        "__import__('os').environ['OMP_NUM_THREADS']",
        "3",
    ),
    "PYTHONSTARTUP": (
        {"PYTHONSTARTUP": f"{Path(__file__).parent}/startup.py"},
        "(startup_ran_in, __import__('os').getpid())[0] == __import__('os').getpid()",
        True,
    ),
    "PAGER": ({"PAGER": "less"}, "__import__('os').environ['PAGER']", "cat"),
    "a session's name": ({"JPY_SESSION_NAME": "a.ipynb"}, "__session__", "a.ipynb"),
    "MPLBACKEND": ({"MPLBACKEND": "agg"}, "__import__('os').environ['MPLBACKEND']", "agg"),
    "TZ": ({"TZ": "Asia/Kathmandu"}, "__import__('time').strftime('%z')", "+0545"),
    "TMPDIR": ({"TMPDIR": "/var/tmp"}, "__import__('tempfile').gettempdir()", "/var/tmp"),
}


@pytest.mark.parametrize(("extra", "expression", "value"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_environment_of_a_start_is_honoured(
    run: Run, folder: Path, extra: dict[str, str], expression: str, value: object
) -> None:
    async def look() -> None:
        env = {**os.environ, **extra}
        assert await values(folder, expression, env=env) == ([value], True)

    run(look())


def test_a_variable_that_is_gone_is_gone(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> None:
        first = make(folder, transport="ipc")
        await first.start_kernel()  # its fork server has the variable
        env = {name: value for name, value in os.environ.items() if name != "ANY"}
        found, _ = await values(other, "__import__('os').environ.get('ANY')", env=env)
        assert found == [None]
        await first.shutdown_kernel(now=True)

    monkeypatch.setenv("ANY", "thing")
    other = folder / "2"
    other.mkdir()
    run(look())


def test_numpy_threads_are_as_asked_with_preload_too(run: Run, folder: Path) -> None:
    async def look() -> None:
        for threads in ("1", "2"):
            env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
            found, forked = await values(
                folder,
                "'numpy' in __import__('sys').modules",
                "float((lambda a: (a @ a).sum())(__import__('numpy').ones((900, 900))))",
                kernel=spec(preload=["numpy"]),
                env=env,
            )
            assert found[:2] == [True, 729000000.0]
            assert forked

    run(look())


def test_the_folder_of_a_start_is_honoured(run: Run, folder: Path) -> None:
    async def look() -> None:
        (folder / "only_here.py").write_text("x = 1\n")
        expressions = ["__import__('os').getcwd()", "__import__('only_here').x"]
        found, forked = await values(folder, *expressions, cwd=str(folder))
        assert (found, forked) == ([str(folder), 1], True)

    run(look())


def test_a_folder_that_is_not_there_fails_the_start_as_ever(run: Run, folder: Path) -> None:
    async def start() -> None:
        manager = make(folder, transport="ipc")
        with pytest.raises(FileNotFoundError, match="nowhere"):
            await manager.start_kernel(cwd=str(folder / "nowhere"))
        await manager.cleanup_resources()

    run(start())


def test_another_interpreter_is_started_in_the_ordinary_way(run: Run, folder: Path) -> None:
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)

    async def look() -> None:
        found, forked = await values(folder, "1", kernel=spec(program=str(script)))
        assert (found, forked) == ([1], False)

    run(look())


def test_interpreters_of_two_virtual_environments_are_not_one(folder: Path) -> None:
    """Both may be links to the same file."""
    beside = Path(sys.executable).with_name(os.path.basename(os.path.realpath(sys.executable)))
    elsewhere = folder / "python"
    elsewhere.symlink_to(os.path.realpath(sys.executable))
    assert _is_this_interpreter(sys.executable)
    assert not _is_this_interpreter(str(elsewhere))
    assert _is_this_interpreter(str(beside)) == beside.exists()


def test_too_many_kinds_are_started_in_the_ordinary_way(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelfleet.provisioners.servers.MAX_SERVERS", 1)
    other = folder / "2"
    other.mkdir()

    async def look() -> None:
        first = make(folder, transport="ipc")
        await first.start_kernel()
        assert is_forked(first)
        env = {**os.environ, "PYTHONPATH": "/nowhere"}
        found, forked = await values(other, "'/nowhere' in __import__('sys').path", env=env)
        assert (found, forked) == ([True], False)
        await first.shutdown_kernel(now=True)

    run(look())


def test_kernels_outlive_their_fork_server_and_the_next_start_has_a_new_one(
    run: Run, folder: Path
) -> None:
    async def live_on() -> None:
        manager = make(folder, transport="ipc")
        await manager.start_kernel()
        client = await connect(manager)
        (server,) = servers._servers.values()
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: psutil.Process(server.pid).status() == psutil.STATUS_ZOMBIE)
        assert await evaluate(client, "1 + 1") == 2
        assert await manager.is_alive()
        assert not server.alive  # that was a look at it

        await manager.restart_kernel(now=True)
        (new,) = servers._servers.values()
        assert new.pid != server.pid
        await client.wait_for_ready(timeout=60)
        assert is_forked(manager)
        client.stop_channels()
        await manager.shutdown_kernel()

    run(live_on())


def test_a_kernel_whose_fork_server_dies_when_it_is_asked_comes_from_a_new_one(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    ask = ForkServer.fork

    async def dying(server: ForkServer, *arguments: Any) -> ForkedProcess:
        if len(killed) < deaths:
            killed.append(server.pid)
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: psutil.Process(server.pid).status() == psutil.STATUS_ZOMBIE)
        return await ask(server, *arguments)

    monkeypatch.setattr(ForkServer, "fork", dying)
    deaths = 1

    async def start() -> None:
        manager = make(folder, transport="ipc")
        await manager.start_kernel()
        assert is_forked(manager)
        assert len(killed) == 1
        await manager.shutdown_kernel(now=True)

    run(start())
    script = folder / "setup.py"
    script.write_text("x = 1")
    killed.clear()
    deaths = 5

    async def give_up() -> None:
        manager = make(folder, transport="ipc")
        config = {"preload": [str(script)]}
        provisioner = ForkProvisioner(parent=manager, kernel_spec=manager.kernel_spec, **config)
        command = [sys.executable, "-m", "ipykernel_launcher"]
        with pytest.raises(PreloadError, match=r"setup\.py has made .* the fork server .*"):
            await provisioner.launch_kernel(command, env=dict(os.environ))
        assert len(killed) == 2

    run(give_up())


def test_the_end_of_a_kernel_without_a_fork_server_is_seen_and_its_code_unknown(
    run: Run, folder: Path
) -> None:
    async def end() -> None:
        manager = make(folder, transport="ipc")
        await manager.start_kernel()
        process = provisioner(manager).process
        (server,) = servers._servers.values()
        os.kill(server.pid, signal.SIGKILL)
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.wait_for(provisioner(manager).wait(), 20)
        assert not process.exit_code_known
        await manager.cleanup_resources()

    run(end())


def test_nothing_is_left_after_the_last_kernel(run: Run, folder: Path) -> None:
    async def start_and_stop() -> None:
        managers = []
        for i in range(3):
            (folder / str(i)).mkdir()
            managers.append(make(folder / str(i), transport="ipc"))
        await asyncio.gather(*(manager.start_kernel() for manager in managers))
        (server,) = servers._servers.values()
        assert len(psutil.Process(server.pid).children()) == 3
        for manager in managers[1:]:
            await manager.shutdown_kernel(now=True)
        assert server.alive
        await managers[0].shutdown_kernel(now=True)
        assert not psutil.pid_exists(server.pid)

    before = set(psutil.Process().children(recursive=True))
    descriptors = len(os.listdir("/proc/self/fd"))
    run(start_and_stop())
    eventually(lambda: set(psutil.Process().children(recursive=True)) <= before)
    assert len(os.listdir("/proc/self/fd")) <= descriptors
