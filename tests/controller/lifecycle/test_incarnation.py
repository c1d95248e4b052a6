"""incarnation.py: how a process of an engine is connected."""

from __future__ import annotations

from pathlib import Path

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
