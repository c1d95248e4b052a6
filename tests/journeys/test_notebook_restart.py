"""A notebook's kernel is restarted or shut down beside a fleet that is a daemon.

What was being waited for is interrupted on the engines, since a frontend interrupts the kernel
before it ends it; what was started with ``--noblock`` goes on, is found, and is followed.
"""

# mypy: allow-untyped-calls
# jupyter_client's methods are untyped

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from kernelfleet import MultiEngineClient, RemoteError
from tests.fleets import NAME
from tests.gate import Gate

pytestmark = pytest.mark.slow

#: How long a kernel may take for a cell.
SECONDS = 30


@pytest.fixture
def transport() -> str:
    return "unix"


class Notebook:
    """A kernel that runs cells one after the other."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)

    def begin(self, code: str) -> None:
        """Start a cell and do not wait for it."""
        self.client.execute(code)

    def see(self, text: str) -> None:
        """Wait until a display has this text."""
        while True:
            content = self.client.get_iopub_msg(timeout=SECONDS)["content"]
            if text in content.get("data", {}).get("text/plain", ""):
                return

    def run(self, code: str) -> str:
        """Run a cell; what it showed in the end, displays with their last update."""
        shown: dict[str, str] = {}

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown[str(len(shown))] = content["text"]
            elif message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
                key = content.get("transient", {}).get("display_id", str(len(shown)))
                shown[key] = content["data"]["text/plain"]

        reply = self.client.execute_interactive(
            code, output_hook=take, timeout=SECONDS, allow_stdin=False
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        return "\n".join(shown.values())

    def restart(self) -> None:
        """What a frontend's Restart does."""
        self.manager.restart_kernel(now=False)
        self.client.wait_for_ready(timeout=SECONDS)

    def shut_down(self) -> None:
        """What a frontend's Shut Down does."""
        self.manager.shutdown_kernel(now=False)

    def close(self) -> None:
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def notebook(mec: MultiEngineClient) -> Iterator[Notebook]:
    mec.get_ids()  # the daemon is there
    notebook = Notebook()
    notebook.run(f"%load_ext kernelfleet\n%fleet connect {NAME}")
    yield notebook
    notebook.close()


@pytest.mark.parametrize("end", ["restart", "shut_down"])
def test_a_blocking_call_is_interrupted_when_its_notebook_is_restarted_or_shut_down(
    mec: MultiEngineClient, notebook: Notebook, gate: Gate, end: str
) -> None:
    notebook.begin(f"%%px -t 0,1\n{gate.code}\nnever = 1")
    gate.entered(2)
    getattr(notebook, end)()
    for engine in (0, 1):
        (last,) = mec.get_result(targets=engine)
        assert isinstance(last.error, RemoteError)
        assert last.error.ename == "KeyboardInterrupt"
    assert mec.keys()[:2] == [[], []]


def test_work_that_nobody_waits_for_survives_is_found_and_is_followed(
    mec: MultiEngineClient, notebook: Notebook, gate: Gate
) -> None:
    notebook.run(
        f"%%px -t 1,2 --noblock --out pr\nprint('early', flush=True)\n{gate.code}\nprint('late')"
    )
    gate.entered(2)
    notebook.restart()
    notebook.run(f"%load_ext kernelfleet\n%fleet connect {NAME}")
    result_id = mec.engines()[1].result_id
    assert result_id is not None
    assert result_id in notebook.run("%fleet status")
    assert result_id in notebook.run("mec.queue_status()")
    assert result_id in notebook.run("mec.engines()")
    told = notebook.run("mec.targets = [1, 2]\n%result")
    assert f"%fleet attach {result_id}" in told
    notebook.begin("%fleet attach --out found")
    notebook.see("[1] early\n[2] early")
    gate.open()
    shown = notebook.run("print(found.stdout)")
    assert shown.strip() == "['early\\nlate\\n', 'early\\nlate\\n']"
    assert notebook.run(f"%fleet attach {result_id}") == "[1-2] early\n[1-2] late"
