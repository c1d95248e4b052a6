"""incarnation.py: how a process of an engine is connected."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.controller.lifecycle.incarnation import EngineManager, Incarnation, endpoints_of


@pytest.mark.parametrize(
    ("transport", "encryption", "shown"),
    [("ipc", "disabled", "ipc"), ("tcp", "disabled", "tcp"), ("tcp", "required", "tcp+curve")],
)
def test_its_transport_says_whether_others_could_overhear_it(
    tmp_path: Path, transport: str, encryption: str, shown: str
) -> None:
    manager = EngineManager(connection_file=str(tmp_path / "k.json"), transport=transport)
    manager.transport_encryption = encryption
    if encryption == "required":
        manager.curve_publickey, manager.curve_secretkey = b"public", b"secret"
    endpoints = endpoints_of(manager)
    incarnation = Incarnation(0, manager, b"", "session", endpoints, True, "kernelfleet")
    assert incarnation.transport == shown
    assert incarnation.connection_file == str(tmp_path / "k.json")
    assert {getattr(endpoints, each)[:3] for each in ("shell", "control", "stdin", "iopub")} == {
        transport
    }


def test_nothing_is_waited_for_after_a_start_or_a_shutdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = EngineManager(connection_file=str(tmp_path / "k.json"), transport="ipc")
    calls: list[str] = []

    async def before(**options: Any) -> tuple[list[str], dict[str, Any]]:
        calls.append("before")
        return ["a-kernel"], options

    async def launch(command: list[str], **options: Any) -> None:
        calls.append(f"{command[0]} {options}")

    async def after(**options: Any) -> None:
        calls.append("after")

    monkeypatch.setattr(manager, "_async_pre_start_kernel", before)
    monkeypatch.setattr(manager, "_async_launch_kernel", launch)
    monkeypatch.setattr(manager, "_async_post_start_kernel", after)
    monkeypatch.setattr(asyncio, "sleep", lambda _: pytest.fail("it is waited for nothing"))
    asyncio.run(manager.start_kernel(cwd="/"))
    assert calls == ["before", "a-kernel {'cwd': '/'}", "after"]
    asyncio.run(manager.shutdown_kernel(now=True))
    assert manager.shutting_down
