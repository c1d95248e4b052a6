"""A fleet as a kernel, as front ends use it: cells, input, interrupt, restart, and every end."""

# mypy: allow-untyped-calls
# functions of nbformat and jupyter_client are untyped

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from kernelfleet.errors.text import without_colours
from tests.fleets import eventually

pytestmark = pytest.mark.slow

#: In the working directory: whoever imported one of them would fail.
TRAPS = ("json", "random", "ctypes", "kernelfleet", "IPython")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with traps, and a kernelspec ``fleet-2``."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    subprocess.run(
        [sys.executable, "-m", "kernelfleet.cli", "install-kernel", "-n", "2", "--user"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    work = tmp_path / "work"
    work.mkdir()
    for name in TRAPS:
        (work / f"{name}.py").write_text("raise SystemExit('a trap')")
    return work


Start = Callable[..., tuple[KernelManager, BlockingKernelClient]]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start the kernel; after the test no process of it may be left."""
    started: list[tuple[KernelManager, BlockingKernelClient]] = []

    def start(name: str = "fleet-2") -> tuple[KernelManager, BlockingKernelClient]:
        manager = KernelManager(kernel_name=name, transport="ipc", ip=str(folder / "k"))
        manager.start_kernel(cwd=str(folder))
        client: BlockingKernelClient = manager.client()
        started.append((manager, client))
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return manager, client

    yield start
    for manager, client in started:
        client.stop_channels()
        if manager.is_alive():
            manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def run(client: BlockingKernelClient, code: str, **options: Any) -> tuple[str, str]:
    """Run a cell; the status of its reply, and what it has shown."""
    shown: list[str] = []

    def show(message: dict[str, Any]) -> None:
        content = message["content"]
        text = content.get("text") or content.get("data", {}).get("text/plain", "")
        shown.append(text or "\n".join(content.get("traceback", ())))

    reply = client.execute_interactive(code, timeout=60, output_hook=show, **options)
    text = without_colours("\n".join(filter(None, shown)))
    return reply["content"]["status"], text.rstrip("\n")


def family(manager: KernelManager) -> list[psutil.Process]:
    """The processes of the kernel, its engines among them."""
    pid = manager.provisioner.pid  # type: ignore[union-attr]
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def test_every_cell_runs_on_all_engines_and_one_here_if_it_says_so(start: Start) -> None:
    _, client = start()
    assert run(client, "engine_id * 10") == ("ok", "[0] Out[1]: 0\n[1] Out[1]: 10")
    assert run(client, "%%engine 1\nprint(n_engines)") == ("ok", "[1] 2")
    assert run(client, "%%local\nlen(mec)") == ("ok", "2")
    status, shown = run(client, "boat = 5\n1/0")
    assert status == "error"
    assert shown.count("ZeroDivisionError                         Traceback") == 1
    client.complete("boa")
    assert "boat" in client.get_shell_msg(timeout=20)["content"]["matches"]
    client.inspect("boat")
    assert "int" in client.get_shell_msg(timeout=20)["content"]["data"]["text/plain"]


def test_code_asks_for_input(start: Start) -> None:
    _, client = start()
    asked: list[str] = []

    def answer(message: dict[str, Any]) -> None:
        asked.append(message["content"]["prompt"])
        client.input("seven")

    status, shown = run(client, "%%engine 0\nx = input('how many? ')\nprint(x)",
                        allow_stdin=True, stdin_hook=answer)  # fmt: skip
    assert (status, asked) == ("ok", ["[0] how many? "])
    assert "[0] seven" in shown


def test_an_interrupt_reaches_the_engines_and_a_restart_gives_new_ones(start: Start) -> None:
    manager, client = start()
    assert run(client, "x = 1")[0] == "ok"
    sent = client.execute("import time\nprint('on', flush=True)\ntime.sleep(600)")
    while "[0] on" not in str(client.get_iopub_msg(timeout=30)["content"]):
        pass
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=30))["parent_header"]["msg_id"] != sent:
        pass
    assert reply["content"]["status"] == "error"
    assert run(client, "%%engine 0\nx") == ("ok", "[0] Out[3]: 1")
    before = family(manager)
    manager.restart_kernel()
    client.wait_for_ready(timeout=60)
    assert run(client, "%%engine 0\n'x' in globals()") == ("ok", "[0] Out[1]: False")
    eventually(lambda: not any(process.is_running() for process in before))


@pytest.mark.parametrize("end", ["shutdown", "SIGTERM", "SIGKILL"])
def test_however_it_ends_no_engine_is_left(start: Start, end: str) -> None:
    manager, client = start()
    client.execute("import subprocess\nsubprocess.Popen(['sleep', '600'])\nwhile True: pass")
    eventually(lambda: sum("sleep" in p.name() for p in family(manager)) == 2, 30)
    processes = family(manager)
    assert len(processes) >= 5
    if end == "shutdown":
        manager.shutdown_kernel()
    else:
        os.kill(processes[0].pid, signal.Signals[end])
    eventually(lambda: not any(alive(process) for process in processes), 20)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nbclient_runs_a_notebook_with_it(folder: Path) -> None:
    cells = [nbformat.v4.new_code_cell(each) for each in ("x = engine_id", "x", "print('same')")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(
        notebook, timeout=60, kernel_name="fleet-2", resources={"metadata": {"path": str(folder)}}
    ).execute()
    texts = [cell.outputs[0].data["text/plain"] for cell in notebook.cells[1:]]
    assert texts == ["[0] Out[2]: 0\n[1] Out[2]: 1", "[0-1] same"]
    failing = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1/0")])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        NotebookClient(failing, timeout=60, kernel_name="fleet-2").execute()


def test_a_fleet_that_cannot_start_is_told_by_the_cell(start: Start) -> None:
    subprocess.run(
        [sys.executable, "-m", "kernelfleet.cli", "install-kernel", "-n", "1", "--user",
         "--kernel", "nowhere", "--name", "broken"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    _, client = start("broken")
    status, shown = run(client, "1")
    assert status == "error"
    assert "nowhere" in shown
    assert run(client, "%%local\n6 * 7") == ("ok", "42")


def test_a_fleet_that_runs_is_used_and_goes_on(start: Start, folder: Path) -> None:
    name = f"kept-{os.getpid()}"
    command = [sys.executable, "-m", "kernelfleet.cli"]
    subprocess.run([*command, "start", name, "-n", "1", "--daemonize"], check=True, timeout=60,
                   capture_output=True)  # fmt: skip
    try:
        subprocess.run([*command, "install-kernel", "--connect", name, "--name", "kept", "--user"],
                       check=True, capture_output=True, timeout=60)  # fmt: skip
        manager, client = start("kept")
        assert run(client, "y = 3\ny") == ("ok", "[0] Out[1]: 3")
        manager.shutdown_kernel()
        told = subprocess.run([*command, "exec", "--name", name, "-c", "y"], check=True,
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        assert told.stdout == "[0] 3\n"
    finally:
        subprocess.run([*command, "stop", name], check=True, capture_output=True, timeout=60)
    del folder
