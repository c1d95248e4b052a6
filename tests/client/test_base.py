"""base.py: where a call goes, whether it waits, and what becomes of it. Without a fleet."""

from __future__ import annotations

import gc
import json
import platform
from pathlib import Path
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client import base
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.errors import (
    CallTimeout,
    CompositeError,
    FleetError,
    FleetNotFound,
    InvalidEngineID,
    ValueGone,
)
from kernelfleet.wire.versions import PROTOCOL_VERSION
from tests.client.scripted import ScriptedController, failing, never

Scripted = tuple[MultiEngineClient, ScriptedController]


def test_a_call_goes_to_the_targets_of_the_client_unless_it_names_its_own(
    scripted: Scripted,
) -> None:
    mec, controller = scripted
    mec.keys(block=False)
    mec.targets = 1
    mec.keys(block=False)
    mec.keys(targets=[1, 0, 1], block=False)
    mec.barrier()
    assert [each["targets"] for each in controller.asked] == [[0, 1], [1], [1, 0, 1]]


@pytest.mark.parametrize("targets", [2, 7, [0, 7]])
def test_a_call_to_an_engine_that_is_not_there_sends_nothing(
    scripted: Scripted, targets: Any
) -> None:
    mec, controller = scripted
    with pytest.raises(InvalidEngineID):
        mec.push({"a": 1}, targets=targets)
    assert controller.asked == []


def test_a_call_waits_as_the_client_says_unless_it_says_so_itself(scripted: Scripted) -> None:
    mec, _ = scripted
    assert mec.push({"a": 1}) == [None, None]
    assert isinstance(mec.push({"a": 1}, block=False), PendingResult)
    mec.block = False
    assert isinstance(mec.push({"a": 1}), PendingResult)
    assert mec.push({"a": 1}, block=True) == [None, None]


def test_a_timeout_without_waiting_is_refused_before_anything_is_sent(scripted: Scripted) -> None:
    mec, controller = scripted
    with pytest.raises(ValueError, match="timeout= is for blocking calls"):
        mec.push({"a": 1}, block=False, timeout=1)
    assert controller.asked == []


def test_a_timeout_leaves_a_result_that_barrier_waits_for(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["keys"] = never
    with pytest.raises(CallTimeout) as caught:
        mec.keys(timeout=0.01)
    assert not caught.value.pending_result.done()
    with pytest.raises(CallTimeout):
        mec.barrier(timeout=0.01)


def test_what_has_ended_is_no_longer_outstanding_and_what_nobody_holds_is_let_go(
    scripted: Scripted,
) -> None:
    mec, controller = scripted
    pending = mec.push({"a": 1}, block=False)
    pending.result()
    assert not mec._outstanding
    result_id = pending.result_id
    del pending
    gc.collect()
    mec.push({"a": 1})
    assert result_id in controller.asked[-1]["release"]


def test_a_result_keeps_the_ids_of_its_engines_when_the_targets_change(scripted: Scripted) -> None:
    mec, _ = scripted
    targets = [1, 0]
    mec.targets = targets
    pending = mec.keys(block=False)
    targets.append(7)
    mec.targets = 0
    assert pending.targets == [1, 0]


def test_an_error_names_the_call_and_keeps_no_frames_of_ours(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["push"] = failing("NameError")
    with pytest.raises(CompositeError, match="call to method: push_function") as caught:
        mec.push_function({"f": len})
    assert [failure.engine_id for failure in caught.value.failures] == [0, 1]


def test_only_three_attributes_can_be_set_and_a_typing_error_is_told(scripted: Scripted) -> None:
    mec, _ = scripted
    with pytest.raises(AttributeError, match="did you mean `targets`"):
        mec.target = 0
    with pytest.raises(AttributeError, match="only block, targets and progress can be set"):
        mec.colour = "red"
    with pytest.raises(ValueError, match="block must be True or False"):
        mec.block = 0  # type: ignore[assignment]
    with pytest.raises(InvalidEngineID):
        mec.targets = -1


def test_a_view_has_settings_of_its_own_on_the_same_connection(scripted: Scripted) -> None:
    mec, controller = scripted
    view = mec.view(1, block=False)
    assert (view.targets, view.block, mec.targets, mec.block) == (1, False, "all", True)
    view.close()  # it is not the owner
    mec.push({"a": 1})
    assert controller.asked[-1]["targets"] == [0, 1]


def test_a_closed_client_says_so(scripted: Scripted) -> None:
    mec, controller = scripted
    with mec:
        pending = mec.view(0)
    with pytest.raises(FleetError, match="this client is closed"):
        pending.keys()
    assert "closed" in repr(mec)
    assert controller.asked == []


def test_a_client_is_true_and_shows_its_fleet(scripted: Scripted) -> None:
    mec, _ = scripted
    assert mec
    assert repr(mec) == "<MultiEngineClient of fleet 'scripted': 2 engines>"


def test_a_value_that_is_gone_says_why(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["pull"] = failing("LookupError")
    with pytest.raises(ValueGone, match=r"the value of In \[3\] on engine 1 is gone: text"):
        mec._fetch_value(1, 3, "this life")
    refusal = {"refused": {"ename": "InvalidEngineID", "evalue": "engine 1 died"}}
    controller.answers["pull"] = lambda *_: (refusal, [])
    with pytest.raises(ValueGone, match="is gone: engine 1 died"):
        mec._fetch_value(1, 3, "this life")
    controller.answers["pull"] = failing("MemoryError")
    with pytest.raises(CompositeError):
        mec._fetch_value(1, 3, "this life")


def test_a_fleet_that_is_not_there_is_told_before_anything_is_connected(tmp_path: Path) -> None:
    with pytest.raises(FleetNotFound):
        MultiEngineClient("no such fleet")
    with pytest.raises(FleetNotFound):
        MultiEngineClient(tmp_path / "nowhere.json")
    with pytest.raises(TypeError, match="an address is a fleet's name"):
        MultiEngineClient(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "tcp", "socket_exists", "way"),
    [
        ("here", "tcp://10.0.0.5:10105", True, "ipc"),
        ("here", "tcp://127.0.0.1:10105", True, "ipc"),
        ("here", "tcp://10.0.0.5:10105", False, "tcp"),
        ("elsewhere", "tcp://10.0.0.5:10105", False, "tcp"),
        # a directory that both machines see: the socket is there, and nobody behind it
        ("elsewhere", "tcp://10.0.0.5:10105", True, "tcp"),
        # the same machine under another name, as in a container
        ("elsewhere", "tcp://127.0.0.1:10105", True, "ipc"),
    ],
)
def test_a_controller_on_another_machine_is_reached_over_tcp(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    tcp: str,
    socket_exists: bool,
    way: str,
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "here")
    path = tmp_path / "client.sock"
    if socket_exists:
        path.touch()
    fleet = {
        "name": "x",
        "pid": 1,
        "host": host,
        "started": 0.0,
        "key": "ab",
        "version": PROTOCOL_VERSION,
    }
    file = tmp_path / "fleet.json"
    file.write_text(json.dumps({**fleet, "tcp": tcp, "ipc": f"ipc://{path}"}))
    assert base._find(file)[1].partition(":")[0] == way
