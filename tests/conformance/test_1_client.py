"""Section 1: the client, its targets and block, timeouts, and the life of engines."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kernelfleet
from kernelfleet import (
    CompositeError,
    Fleet,
    FleetError,
    FleetNotFound,
    InvalidEngineID,
    MultiEngineClient,
    NoEnginesRegistered,
    PendingResult,
    SerializationError,
    client,
)
from kernelfleet.wire.files.connection_file import FleetFile, read
from kernelfleet.wire.files.fleet_paths import fleets_dir
from tests.fleets import NAME, eventually
from tests.gate import Gate
from tests.promises import promise

Connect = Callable[[], MultiEngineClient]
StartFleet = Callable[..., MultiEngineClient]

daemon_only = pytest.mark.parametrize("transport", ["unix"])


@promise("1: the names are importable from kernelfleet and kernelfleet.client")
def test_names_are_where_the_seeds_have_them() -> None:
    assert client.MultiEngineClient is kernelfleet.MultiEngineClient
    assert client.CompositeError is kernelfleet.CompositeError
    for name in ("Fleet", "PendingResult", "ResultList", "RemoteError", "QueueCleared"):
        assert getattr(kernelfleet, name) is not None


@promise("1: MultiEngineClient(address) takes a name, (host, port) or a connection file's path")
@daemon_only
def test_every_kind_of_address_leads_to_the_fleet(mec: MultiEngineClient) -> None:
    file = read(NAME)
    assert file.tcp is not None
    port = int(file.tcp.rpartition(":")[2])
    for address in (NAME, ("127.0.0.1", port), ("localhost", port), file.path, str(file.path)):
        with MultiEngineClient(address) as other:
            assert other.get_ids() == [0, 1, 2, 3]


@promise("1: MultiEngineClient() finds the only running fleet")
@daemon_only
def test_without_address_it_is_the_only_one_running(mec: MultiEngineClient) -> None:
    mec.push({"here": 1})
    with MultiEngineClient() as other:
        assert other.pull("here") == [1, 1, 1, 1]


@promise("1: MultiEngineClient() among several is an error that lists the names")
def test_several_fleets_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def several() -> list[FleetFile]:
        return [FleetFile(name, 1, "here", 0.0, "key", ipc="ipc://x") for name in ("one", "two")]

    monkeypatch.setattr("kernelfleet.wire.files.connection_file.find_fleets", several)
    with pytest.raises(FleetNotFound, match="'one', 'two'"):
        MultiEngineClient()


@promise("1: an address of no fleet is an error that says how to start one")
def test_an_unknown_fleet_is_not_found() -> None:
    with pytest.raises(FleetNotFound, match="kernelfleet start"):
        MultiEngineClient("nowhere")
    with pytest.raises(FleetNotFound, match="kernelfleet start"):
        MultiEngineClient(("127.0.0.1", 9))
    with pytest.raises(TypeError):
        MultiEngineClient(10105)  # type: ignore[arg-type]


@promise("1: block is True and targets is 'all' to begin with")
def test_the_defaults(mec: MultiEngineClient) -> None:
    assert mec.block is True
    assert mec.targets == "all"


@promise("1: block and targets are checked when assigned")
def test_attributes_are_checked_when_assigned(mec: MultiEngineClient) -> None:
    for block in (1, 0, None, "yes", [0]):
        with pytest.raises(ValueError, match="block must be True or False"):
            mec.block = block  # type: ignore[assignment]
    for targets in (1.5, None, True, {0}, object()):
        with pytest.raises(ValueError, match="targets must be"):
            mec.targets = targets  # type: ignore[assignment]
    for wrong in ("everyone", -1, [0, -1]):
        with pytest.raises(InvalidEngineID):
            mec.targets = wrong
    assert (mec.block, mec.targets) == (True, "all")


@promise("1: a list assigned to targets may be changed afterwards without effect")
def test_assigned_targets_are_the_clients_own(mec: MultiEngineClient) -> None:
    mine = [0, 2]
    mec.targets = mine
    mine.append(1)
    assert mec.pull("engine_id") == [0, 2]


@promise("1: an unknown attribute is an AttributeError that names the one meant")
def test_a_typo_in_an_attribute_cannot_run_code_everywhere(mec: MultiEngineClient) -> None:
    with pytest.raises(AttributeError, match="did you mean `targets`"):
        mec.target = [0]
    with pytest.raises(AttributeError, match="only block, targets and progress can be set"):
        mec.verbosity = 3
    with pytest.raises(AttributeError, match="did you mean `block`"):
        mec.blocks = False
    with pytest.raises(AttributeError):
        mec.timeout = 3


@promise("1: targets= and block= override the attributes for one call")
def test_keywords_override_attributes(mec: MultiEngineClient) -> None:
    mec.targets, mec.block = [0, 2], False
    assert [r["id"] for r in mec.execute("a=1", targets=3, block=True)] == [3]
    pending = mec.execute("a=2")
    assert isinstance(pending, PendingResult)
    assert [r["id"] for r in pending.r] == [0, 2]
    assert mec.targets == [0, 2]
    assert mec.block is False


@promise("1: positional order is the verb's own arguments, then targets, then block")
def test_targets_and_block_are_positional(mec: MultiEngineClient, tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text("ran = 1\n")

    def verb() -> None:
        pass

    assert mec.execute("a=1", 0, False).r[0]["id"] == 0
    assert mec.push({"a": 1}, [1, 2], False).r == [None, None]
    assert mec.pull("a", 1, False).r == [1]
    assert mec.zip_pull(("a", "a"), [1, 2], False).r == [(1, 1), (1, 1)]
    assert mec.push_function({"f": verb}, 0, False).r == [None]
    assert callable(mec.pull_function("f", 0, False).r[0])
    assert mec.scatter("s", [1, 2], [1, 2], False).r == [None, None]
    assert mec.gather("s", [1, 2], False).r == [1, 2]
    assert mec.peek("a", 1, False).r == [1]
    assert mec.get_result(1, 0, False).r[0]["number"] == 1
    assert mec.keys(1, False).r == [["a", "s"]]
    assert mec.run(script, 3, False).r[0]["id"] == 3
    assert mec.clear_queue(0, False).r == [None]
    assert mec.queue_status(0, False).r == [(0, {"queue": [], "pending": None})]
    assert mec.interrupt(0, False).r == [None]
    assert mec.reset(0, False).r == [None]


@promise("1: block must be a bool, else ValueError")
def test_block_is_a_bool_also_as_keyword(mec: MultiEngineClient) -> None:
    with pytest.raises(ValueError, match="block must be"):
        mec.execute("a=1", block=1)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="block must be"):
        mec.push({"a": 1}, block="no")  # type: ignore[call-overload]
    assert mec.keys() == [[], [], [], []]


@promise("1: a PendingResult keeps the targets it was started with")
def test_changing_targets_afterwards_changes_no_pending_result(mec: MultiEngineClient) -> None:
    mec.targets = [0, 2]
    pending = mec.execute("a=1", block=False)
    mec.targets = 1
    assert [r["id"] for r in pending.r] == [0, 2]
    assert pending.targets == [0, 2]


@pytest.mark.parametrize(
    ("targets", "ids"),
    [
        ("all", [0, 1, 2, 3]),
        (2, [2]),
        (np.int64(2), [2]),
        ([3, 0], [3, 0]),
        ((1, 1), [1, 1]),
        (np.array([2, 1]), [2, 1]),
        ([], []),
        (range(1, 3), [1, 2]),
        (slice(None, None, 2), [0, 2]),
        (slice(-1, None), [3]),
    ],
    ids=repr,
)
@promise("1: targets is 'all', an int, a sequence in the order given, a slice or a range")
def test_targets_pick_engines_in_the_order_given(
    mec: MultiEngineClient, targets: Any, ids: list[int]
) -> None:
    assert mec.pull("engine_id", targets=targets) == ids
    assert [r["id"] for r in mec.execute("a=1", targets=targets)] == ids


@promise("1: an engine named twice runs twice")
def test_duplicates_run_twice(mec: MultiEngineClient) -> None:
    mec.push({"n": 0})
    results = mec.execute("n += 1; print(n)", targets=[1, 1])
    assert [(r["number"], r.stdout) for r in results] == [(1, "1\n"), (2, "2\n")]


@promise("1: no targets give an empty result")
def test_no_targets_give_an_empty_result(mec: MultiEngineClient) -> None:
    assert mec.execute("a=1", targets=[]) == []
    assert mec.push({"a": 1}, targets=[]) == []
    assert mec.pull("a", targets=[]) == []
    assert mec.scatter("a", [1, 2], targets=[]) == []
    assert mec.gather("a", targets=[]) == []
    assert mec.apply(len, "abc", targets=[]) == []
    assert mec.keys(targets=[]) == []
    assert mec.keys() == [[], [], [], []]


@promise("1: 'all' and slices are resolved at each call")
def test_all_means_those_there_at_the_call(start_fleet: StartFleet) -> None:
    mec = start_fleet(3)
    mec.targets = slice(1, None)
    assert mec.pull("engine_id") == [1, 2]
    mec.kill(1)
    assert mec.pull("engine_id") == [2]
    assert mec.pull("engine_id", targets="all") == [0, 2]


@pytest.mark.parametrize("targets", [4, -1, [0, 9], "0", "ALL", range(5)], ids=repr)
@promise("1: an unknown engine is InvalidEngineID, plain, before anything is sent")
def test_an_unknown_engine_stops_the_call_before_anything_is_sent(
    mec: MultiEngineClient, targets: Any
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: mec.execute("a=1", targets=targets),
        lambda: mec.push({"a": 1}, targets=targets),
        lambda: mec.scatter("a", [1], targets=targets),
        lambda: mec.execute("a=1", targets=targets, block=False),
        lambda: mec.kill(targets=targets),
        lambda: mec.restart(targets=targets),
        lambda: mec.interrupt(targets=targets),
    ]
    for call in calls:
        with pytest.raises(InvalidEngineID):
            call()
    assert mec.get_ids() == [0, 1, 2, 3]
    assert mec.keys() == [[], [], [], []]


@pytest.mark.parametrize(
    "targets",
    [1.0, True, [None], {0}, {0: 1}, b"\0", object()],
    ids=lambda value: type(value).__name__,
)
@promise("1: targets of another type are a ValueError")
def test_targets_of_another_type_are_a_value_error(mec: MultiEngineClient, targets: Any) -> None:
    with pytest.raises(ValueError, match="targets must be") as caught:
        mec.execute("a=1", targets=targets)
    assert not isinstance(caught.value, InvalidEngineID)


@promise("1: 'all' with no engines is NoEnginesRegistered")
def test_all_of_no_engines_is_an_error(start_fleet: StartFleet) -> None:
    mec = start_fleet(1)
    mec.kill()
    assert mec.get_ids() == []
    assert len(mec) == 0
    assert bool(mec) is True
    with pytest.raises(NoEnginesRegistered):
        mec.execute("a=1")


@promise("1: get_ids() gives the ids, len(mec) their number, bool(mec) is True")
def test_ids_and_length(mec: MultiEngineClient) -> None:
    assert mec.get_ids() == [0, 1, 2, 3]
    assert len(mec) == 4
    assert len(mec.view(0)) == 4
    assert bool(mec) is True


@promise("1: view(targets, block) is a client on the same connection with its own defaults")
def test_a_view_has_its_own_defaults(mec: Any) -> None:
    view: Any = mec.view([1, 3], block=False)
    assert isinstance(mec.view(0), MultiEngineClient)
    assert (view.targets, view.block) == ([1, 3], False)
    assert (mec.targets, mec.block) == ("all", True)
    assert view.pull("engine_id").r == [1, 3]
    mec.block = False
    assert mec.view(0).block is False
    view.close()
    assert mec.pull("engine_id", block=True) == [0, 1, 2, 3]


@promise("1: engines() gives id, state, pid, host, kernel name, connection file and memory")
def test_engines_lists_what_is_known(mec: MultiEngineClient, transport: str) -> None:
    engines = mec.engines()
    assert [engine.id for engine in engines] == [0, 1, 2, 3]
    pids = mec.apply(os.getpid)
    for engine, pid in zip(engines, pids, strict=True):
        assert engine.state == "idle"
        assert engine.pid == pid
        assert engine.host
        assert engine.kernel_name
        assert engine.connection_file is not None
        assert os.path.exists(engine.connection_file)
        assert engine.memory_bytes is not None
        assert engine.memory_bytes > 1_000_000
        assert engine.cpu_percent is None
    for engine in mec.engines(cpu=True):
        assert engine.cpu_percent is not None
        assert engine.cpu_percent >= 0
    assert isinstance(engines, list)
    where = ["node"] if transport == "cluster" else []
    columns = ["engine", "state", *where, "pid"]
    assert repr(engines).splitlines()[0].split()[: len(columns)] == columns
    assert engines._repr_html_().count("<tr>") == 5


@promise("1: timeout= ends the wait with a TimeoutError that has .pending_result; the work goes on")
def test_a_timeout_tells_what_had_arrived_and_the_work_goes_on(
    mec: MultiEngineClient, gate: Gate
) -> None:
    code = f"if engine_id == 2:\n    {gate.code}\nran = engine_id"
    with pytest.raises(TimeoutError, match="of 4 engines are done; the work goes on") as caught:
        mec.execute(code, timeout=0.05)
    pending = caught.value.pending_result  # type: ignore[attr-defined]
    assert isinstance(pending, PendingResult)
    eventually(lambda: pending.progress == (3, 4))
    with pytest.raises(TimeoutError, match="3 of 4 engines are done"):
        pending.result(timeout=0)
    assert not pending.done()
    gate.open()
    assert [r["id"] for r in pending.r] == [0, 1, 2, 3]
    assert mec.pull("ran") == [0, 1, 2, 3]


@promise("1: every blocking verb takes timeout=")
def test_every_blocking_verb_takes_a_timeout(mec: MultiEngineClient, gate: Gate) -> None:
    mec.push({"a": 1})
    busy = mec.execute(gate.code, block=False)
    gate.entered(4)
    for call in _queued_calls(mec):
        with pytest.raises(TimeoutError, match="has not ended after"):
            call()
    mec.clear_queue()
    assert mec.peek("a", timeout=10) == [1, 1, 1, 1]
    assert mec.queue_status(timeout=10)[0][1]["queue"] == []
    assert mec.interrupt(timeout=10) == [None] * 4
    with pytest.raises(CompositeError):
        busy.result(timeout=10)


def _queued_calls(mec: MultiEngineClient) -> list[Callable[[], object]]:
    return [
        lambda: mec.execute("1", timeout=0),
        lambda: mec.push({"b": 1}, timeout=0),
        lambda: mec.pull("a", timeout=0),
        lambda: mec.zip_pull(("a", "a"), timeout=0),
        lambda: mec.push_function({"f": len}, timeout=0),
        lambda: mec.pull_function("f", timeout=0),
        lambda: mec.scatter("s", [1], timeout=0),
        lambda: mec.gather("s", timeout=0),
        lambda: mec.apply(len, "a", timeout=0),
        lambda: mec.keys(timeout=0),
        lambda: mec.barrier(mec.pull("a", block=False), timeout=0),
    ]


@promise("1: timeout= with block=False is a ValueError")
def test_a_timeout_needs_a_call_that_blocks(mec: MultiEngineClient) -> None:
    with pytest.raises(ValueError, match="block=False"):
        mec.execute("a=1", block=False, timeout=1)
    mec.block = False
    with pytest.raises(ValueError, match="block=False"):
        mec.push({"a": 1}, timeout=1)
    assert mec.keys(block=True) == [[], [], [], []]


@promise("1: clients share engines and namespaces, and each has its own block and targets")
def test_clients_share_engines_not_attributes(mec: Any, connect: Connect) -> None:
    other: Any = connect()
    other.targets, other.block = 0, False
    assert (mec.targets, mec.block) == ("all", True)
    other.push({"shared": 1}).result()
    assert mec.pull("shared", targets=0) == [1]


@promise("1: a client may be used from any thread")
def test_a_client_serves_many_threads(mec: MultiEngineClient) -> None:
    answers: dict[int, list[Any]] = {}

    def work(number: int) -> None:
        for _ in range(5):
            mec[f"x{number}"] = number
            answers[number] = mec.pull(f"x{number}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {i: [i] * 4 for i in range(6)}


@promise("1: close() and with end a client, not the fleet")
def test_closing_ends_the_client_alone(mec: MultiEngineClient, connect: Connect) -> None:
    with connect() as other:
        other.push({"kept": 1})
    with pytest.raises(FleetError, match="closed"):
        other.pull("kept")
    other.close()
    assert mec.pull("kept") == [1, 1, 1, 1]


@promise("1: what a closing client still waits for fails, the work goes on")
def test_closing_fails_what_waits(mec: MultiEngineClient, connect: Connect, gate: Gate) -> None:
    other = connect()
    pending = other.execute(f"{gate.code}\ndone = 1", block=False, targets=0)
    gate.entered()
    other.close()
    with pytest.raises(FleetError, match="closed"):
        pending.result()
    gate.open()
    mec.execute("", targets=0)
    assert mec.pull("done", targets=0) == [1]


@promise("1: with Fleet(n=4) as mec gives the client; start, stop and client do it by hand")
def test_a_fleet_by_hand_and_by_with() -> None:
    fleet = Fleet(2)
    mec = fleet.start()
    assert mec.get_ids() == [0, 1]
    with fleet.client() as second:
        assert second.pull("engine_id") == [0, 1]
    with pytest.raises(FleetError, match="running already"):
        fleet.start()
    pids = mec.apply(os.getpid)
    fleet.stop()
    fleet.stop()
    assert not fleet.running
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(FleetError):
        mec.execute("a=1")
    with pytest.raises(FleetError):
        fleet.client()
    with fleet as again:
        assert again.get_ids() == [0, 1]


@promise("1: __enter__ and __exit__ of a Fleet may be called directly, and nothing of it is left")
def test_a_stopped_fleet_leaves_nothing_in_the_runtime_directory() -> None:
    before = set(fleets_dir().iterdir()) if fleets_dir().exists() else set()
    fleet = Fleet(n=1)
    mec = fleet.__enter__()
    assert mec.get_ids() == [0]
    assert set(fleets_dir().iterdir()) != before
    fleet.__exit__(None, None, None)
    assert set(fleets_dir().iterdir()) == before


@promise("1: Fleet(env=, cwd=, on_start=), env also per engine")
def test_a_fleet_is_made_with_environment_folder_and_first_code(
    start_fleet: StartFleet, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNWANTED", "1")
    monkeypatch.setenv("PMI_RANK", "0")  # as in a rank of mpiexec
    mec = start_fleet(
        2,
        env=lambda i: {"DEVICE": str(i), "UNWANTED": None, "OMP_NUM_THREADS": None},
        cwd=tmp_path,
        on_start="ready = engine_id * 10",
    )
    unset = {"UNWANTED", "PMI_RANK", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    assert mec.apply(lambda names: names & set(os.environ), unset) == [set()] * 2
    assert mec.apply(lambda: os.environ["DEVICE"]) == ["0", "1"]
    assert mec.apply(os.getcwd) == [str(tmp_path)] * 2
    assert mec.pull("ready") == [0, 10]
    mec.restart(1)
    assert mec.pull("ready") == [0, 10]
    assert mec.apply(lambda: os.environ["DEVICE"]) == ["0", "1"]
    assert mec.execute("1")[0]["number"] == 1


@promise("1: Fleet(cwd=): a relative folder is that of the start, wherever this process goes")
@pytest.mark.parametrize("fork", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_relative_folder_is_kept_absolute(
    start_fleet: StartFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fork: bool
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    mec = start_fleet(1, cwd="sub", fork=fork)
    assert mec.apply(os.getcwd) == [str(tmp_path / "sub")]
    monkeypatch.chdir("/")
    mec.restart()
    assert mec.apply(os.getcwd) == [str(tmp_path / "sub")]


@promise("1: a client cannot travel, and a function that refers to one is told so by name")
def test_a_client_stays_where_it_is(mec: MultiEngineClient) -> None:
    def nested(x: int) -> Any:
        return mec.map(abs, [x])

    calls: list[Callable[[], object]] = [
        lambda: mec.map(nested, [1]),
        lambda: mec.apply(nested, 1),
        lambda: mec.push({"c": mec}),
        lambda: mec.map(mec.pull, ["a"]),
        lambda: pickle.dumps(mec),
    ]
    for call in calls:
        with pytest.raises(SerializationError, match="a MultiEngineClient cannot travel"):
            call()


@promise("1: a dead engine leaves get_ids() and 'all', keeps its id, and restart() brings it back")
def test_a_dead_engine_says_how_it_died_and_can_be_brought_back(mec: MultiEngineClient) -> None:
    pid = mec.apply(os.getpid, targets=1)[0]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: mec.get_ids() == [0, 2, 3])
    assert mec.pull("engine_id") == [0, 2, 3]
    assert mec.pull("n_engines") == [3, 3, 3]
    with pytest.raises(InvalidEngineID, match=r"SIGKILL.*mec\.restart\(1\)"):
        mec.execute("a=1", targets=[0, 1])
    assert mec.keys() == [[], [], []]
    assert {engine.id: engine.state for engine in mec.engines()}[1] == "dead"
    assert mec.restart(1) == [None]
    assert mec.get_ids() == [0, 1, 2, 3]
    assert mec.pull("n_engines") == [4, 4, 4, 4]
    assert mec.pull("engine_id") == [0, 1, 2, 3]


@promise("1: a killed engine is gone and its id may be reused")
def test_a_killed_engine_is_gone(start_fleet: StartFleet) -> None:
    mec = start_fleet(3)
    pid = mec.apply(os.getpid, targets=1)[0]
    assert mec.kill(1) == [None]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert mec.get_ids() == [0, 2]
    assert [engine.id for engine in mec.engines()] == [0, 2]
    with pytest.raises(InvalidEngineID, match="no engine 1"):
        mec.execute("a=1", targets=1)
    with pytest.raises(InvalidEngineID):
        mec.restart(1)
    assert mec.pull("n_engines") == [2, 2]
