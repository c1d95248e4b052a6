"""An engine stays a Jupyter kernel: a console works on it beside the fleet."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from kernelfleet import MultiEngineClient
from tests.consoles import attached
from tests.gate import Gate

pytestmark = pytest.mark.parametrize("transport", ["embedded", "unix"])


@pytest.fixture
def console(mec: MultiEngineClient) -> Iterator[BlockingKernelClient]:
    """Attached as ``jupyter console --existing`` does."""
    path = mec.engines()[0].connection_file
    assert path is not None
    with attached(path) as client:
        yield client


def run(console: BlockingKernelClient, code: str) -> tuple[dict[str, Any], str]:
    """Execute as a frontend does; the reply's content and what was printed."""
    printed: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        printed.append(message["content"].get("text", ""))

    reply = console.execute_interactive(code, timeout=20, output_hook=hook)
    return reply["content"], "".join(printed)


def test_console_and_fleet_share_the_namespace(
    mec: MultiEngineClient, console: BlockingKernelClient
) -> None:
    mec.push({"x": 5})
    content, printed = run(console, "y = x * 2; print(y)")
    assert (content["status"], printed) == ("ok", "10\n")
    assert mec.pull("y", targets=0) == [10]


def test_the_console_completes_and_inspects(
    mec: MultiEngineClient, console: BlockingKernelClient
) -> None:
    mec.execute("a_long_name = 1")
    console.complete("a_long_n")
    assert "a_long_name" in console.get_shell_msg(timeout=20)["content"]["matches"]
    console.inspect("a_long_name")
    assert console.get_shell_msg(timeout=20)["content"]["found"]


def test_input_is_asked_of_the_console_that_runs_the_cell(
    mec: MultiEngineClient, console: BlockingKernelClient
) -> None:
    asked: list[str] = []

    def answer(message: dict[str, Any]) -> None:
        asked.append(message["content"]["prompt"])
        console.input("Ada")

    console.execute_interactive(
        "name = input('who? ')", timeout=20, stdin_hook=answer, allow_stdin=True,
        output_hook=lambda _: None,
    )  # fmt: skip
    assert asked == ["who? "]
    assert mec.pull("name", targets=0) == ["Ada"]


def test_the_console_sees_what_the_fleet_executes(
    mec: MultiEngineClient, console: BlockingKernelClient
) -> None:
    mec.execute("print('for all to see')")
    seen = []
    while True:
        try:
            message = console.get_iopub_msg(timeout=2)
        except Empty:
            break
        seen.append(message["msg_type"])
        if "for all to see" in str(message["content"].get("text")):
            break
    assert "execute_input" in seen
    assert seen[-1] == "stream"


def test_a_failing_console_cell_does_not_harm_what_the_fleet_has_queued(
    mec: MultiEngineClient, console: BlockingKernelClient, gate: Gate
) -> None:
    """ipykernel aborts what waits in the kernel after an error: ours is sent again."""
    mec.execute("seen = []")
    console.execute(gate.code + "; 1/0")
    gate.entered()
    pendings = [mec.execute(f"seen.append({i})", targets=0, block=False) for i in range(20)]
    pull = mec.pull("seen", targets=0, block=False)
    gate.open()
    for pending in pendings:
        assert pending.result(20)[0]["id"] == 0
    assert pull.result(20) == [list(range(20))]
    assert mec.execute("1")[1]["id"] == 1


def test_fleet_and_console_interleave_without_loss(
    mec: MultiEngineClient, console: BlockingKernelClient
) -> None:
    mec.execute("fleet, console = [], []")
    pendings = []
    for i in range(50):
        pendings.append(mec.execute(f"fleet.append({i}); print({i})", targets=0, block=False))
        console.execute(f"console.append({i})")
    for i, pending in enumerate(pendings):
        assert pending.result(20).stdout == [f"{i}\n"]
    content, _ = run(console, "1")
    assert content["status"] == "ok"
    assert mec.pull(("fleet", "console"), targets=0) == [[list(range(50)), list(range(50))]]


def test_an_interrupt_of_the_fleet_leaves_a_console_in_peace(
    mec: MultiEngineClient, console: BlockingKernelClient, gate: Gate
) -> None:
    msg_id = console.execute(gate.code)
    gate.entered()
    mec.interrupt(0)
    gate.open()
    while (reply := console.get_shell_msg(timeout=20))["parent_header"]["msg_id"] != msg_id:
        pass
    assert reply["content"]["status"] == "ok"


def test_the_console_has_its_arrow_up_and_its_search(
    mec: MultiEngineClient, console: BlockingKernelClient
) -> None:
    mec.execute("by_the_fleet = 1", targets=0)
    run(console, "by_the_console = 2")
    run(console, "by_the_console")

    def asked(**wanted: Any) -> list[Any]:
        msg_id = console.history(**wanted)
        while (reply := console.get_shell_msg(timeout=20))["parent_header"]["msg_id"] != msg_id:
            pass
        return [entry[1:] for entry in reply["content"]["history"]]

    cells = [[1, "by_the_fleet = 1"], [2, "by_the_console = 2"], [3, "by_the_console"]]
    assert asked(hist_access_type="tail", n=1000, raw=True, output=False) == cells
    assert asked(hist_access_type="search", pattern="*fleet*", raw=True, output=False) == cells[:1]
    (last,) = asked(hist_access_type="tail", n=1, raw=True, output=True)
    assert last == [3, ["by_the_console", "2"]]
    assert asked(hist_access_type="range", session=0, start=2, stop=3, raw=True) == cells[1:2]


@pytest.mark.parametrize("wait", ["{}", "import asyncio\nawait asyncio.to_thread(lambda: {})"])
def test_a_failing_cell_of_the_console_aborts_what_it_has_queued_behind_it(
    mec: MultiEngineClient, console: BlockingKernelClient, gate: Gate, wait: str
) -> None:
    mec.execute("ran = []", targets=0)
    ids = [console.execute(f"{wait.format(gate.code)}\n1/0")]
    ids += [console.execute(f"ran.append({i})") for i in range(2)]
    gate.entered()  # what was sent before has most likely arrived by now
    gate.open()
    replies: dict[str, str] = {}
    while len(replies) < len(ids):
        reply = console.get_shell_msg(timeout=20)
        replies[reply["parent_header"]["msg_id"]] = reply["content"]["status"]
    assert [replies[each] for each in ids] == ["error", "aborted", "aborted"]
    assert mec.pull("ran", targets=0) == [[]]
    content, _ = run(console, "ran.append(2)")
    assert (content["status"], mec.pull("ran", targets=0)) == ("ok", [[2]])
