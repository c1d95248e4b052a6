"""Finding what runs, and following it: ``%fleet attach``."""

from __future__ import annotations

import builtins
import threading
from typing import Any

import pytest
from IPython.core.error import UsageError

from kernelfleet import CompositeError, InvalidDeferredID, MultiEngineClient
from kernelfleet.notebook import running
from tests.gate import Gate
from tests.notebook.conftest import Shell
from tests.promises import promise


@pytest.fixture
def other(connect: Any, shell: Shell) -> MultiEngineClient:
    """A client that came before, as in a notebook whose kernel has been restarted."""
    client: MultiEngineClient = connect()
    return client


def talkative(gate: Gate) -> str:
    return f"print('early', flush=True)\n{gate.code}\nprint('late')\n21 * 2"


@promise("4: %fleet attach shows the output of running work on")
@pytest.mark.parametrize("transport", ["embedded", "tcp"])
def test_what_another_client_has_started_is_followed_to_its_end(
    shell: Shell, other: MultiEngineClient, gate: Gate
) -> None:
    pending = other.execute(talkative(gate), targets=[1, 2], block=False)
    gate.entered(2)
    threading.Timer(0.7, gate.open).start()  # by then the view is there
    out = shell.run("%fleet attach --out found")
    assert shell.error is None
    lines = [line for line in out.splitlines() if line.startswith("[")]
    assert sorted(lines) == sorted(
        f"[{engine}] {text}" for engine in (1, 2) for text in ("early", "late", "Out[1]: 42")
    )
    assert shell["found"] == pending.r
    assert shell["found"].stdout == ["early\nlate\n"] * 2


def test_what_has_ended_is_shown_by_its_id(shell: Shell, other: MultiEngineClient) -> None:
    pending = other.execute("print('over')", targets=0, block=False)
    pending.wait(30)
    assert shell.run(f"%fleet attach {pending.result_id}") == "[0] over\n"


def test_without_anything_that_runs_it_says_so(shell: Shell) -> None:
    assert shell.run("%fleet attach") == "Nothing runs on these engines that could be followed.\n"


def test_an_unknown_id_is_an_error(shell: Shell) -> None:
    shell.run("%fleet attach nonsense-1")
    assert isinstance(shell.error, InvalidDeferredID)


def test_of_several_calls_one_must_be_named(
    shell: Shell, other: MultiEngineClient, gate: Gate
) -> None:
    calls = [other.execute(gate.code, targets=i, block=False) for i in (0, 3)]
    gate.entered(2)
    out = shell.run("%fleet attach")
    assert isinstance(shell.error, UsageError)
    assert "several calls run" in out
    for engine, pending in zip((0, 3), calls, strict=True):
        assert f"[{engine}] still runs execute(" in out
        assert f"`%fleet attach {pending.result_id}`" in out
    gate.open()
    other.barrier(calls)


def test_an_error_of_the_work_is_raised(shell: Shell, other: MultiEngineClient, gate: Gate) -> None:
    pending = other.execute(f"{gate.code}\n1/0", targets=0, block=False)
    gate.entered()
    threading.Timer(0.2, gate.open).start()
    shell.run("%fleet attach")
    assert isinstance(shell.error, CompositeError)
    pending.wait(30)


def test_ctrl_c_ends_the_following_and_not_the_work(
    shell: Shell, other: MultiEngineClient, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = other.execute(f"{gate.code}\nprint('whole')", targets=0, block=False)
    gate.entered()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running.View, "_follow", interrupted)
    out = shell.run("%fleet attach")
    assert f"the work goes on: `%fleet attach {pending.result_id}` follows it again" in out
    gate.open()
    assert pending.r[0].stdout == "whole\n"


def test_who_attaches_is_not_asked_what_the_first_client_is_asked(
    shell: Shell, other: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    known = threading.Event()

    def take(_engine: int, msg_type: str, _content: object) -> None:
        if msg_type == "input_request":
            known.set()

    monkeypatch.setattr(builtins, "input", asked.append)
    header = {"operation": "execute", "content": {"code": "x = input('?')", "allow_stdin": True}}
    pending = other._run(
        {**header, "label": "execute('x')"}, [], {"kind": "execute", "code": ""},
        targets=[0], blocks=False, timeout=None, on_output=take,
    )  # fmt: skip
    assert known.wait(20)
    answer = {"engine": 0, "result_id": pending.result_id, "value": "yes"}
    threading.Timer(0.3, lambda: other._connection.call("input_reply", 5, **answer)).start()
    shell.run("%fleet attach")
    assert asked == []
    assert other.pull("x", targets=0) == ["yes"]


def test_the_work_of_a_map_cannot_be_attached_to(
    shell: Shell, other: MultiEngineClient, gate: Gate
) -> None:
    body = gate.code

    def enter(_: int) -> None:
        exec(body)

    mapped = other.map(enter, range(1), targets=[2], block=False)
    gate.entered()
    assert "still runs map(" in shell.run("%result")
    assert "Nothing runs" in shell.run("%fleet attach")
    gate.open()
    mapped.r  # noqa: B018 (waits)
