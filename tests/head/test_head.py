"""head.py: clients of a fleet on nodes notice no difference to one on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.client import access
from kernelfleet.errors import CompositeError, InvalidEngineID, QueueCleared, UnsupportedOperation
from tests.fleets import eventually
from tests.gate import Gate


def test_code_and_data_go_to_engines_of_all_nodes_in_the_order_of_targets(
    mec: MultiEngineClient,
) -> None:
    assert mec.get_ids() == [0, 1, 2, 3]
    mec.push({"a": 7}, targets=[3, 0])
    assert mec.pull("a", targets=[0, 3]) == [7, 7]
    results = mec.execute("engine_id * 10, n_engines", targets=[3, 1, 0])
    assert [each.value for each in results] == [(30, 4), (10, 4), (0, 4)]
    assert [each["id"] for each in results] == [3, 1, 0]
    mec.scatter("x", range(10))
    assert list(mec.gather("x")) == list(range(10))
    assert list(mec.map(lambda x: x * x, range(50))) == [x * x for x in range(50)]


def test_large_data_arrive_whole_on_every_engine(mec: MultiEngineClient) -> None:
    data = bytes(range(256)) * 20_000
    mec["big"] = data
    assert mec["big"] == [data] * 4


def test_errors_are_of_their_engines_and_clear_only_what_is_the_clients_own(
    mec: MultiEngineClient, shared_fleet: Fleet, gate: Gate
) -> None:
    with shared_fleet.client() as other:
        begun = mec.execute(f"{gate.code}; 1 / engine_id", block=False)
        mine = mec.execute("a = 1", block=False)
        theirs = other.execute("b = 2", block=False)
        eventually(lambda: all(len(each["queue"]) == 2 for _, each in mec.queue_status()))
        gate.open()
        with pytest.raises(CompositeError) as failed:
            begun.result(timeout=10)
        assert len(failed.value.elist) == 1  # engine 0 alone divides by zero
        with pytest.raises(CompositeError) as cleared:
            mine.result(timeout=10)
        assert type(cleared.value.exceptions[0]) is QueueCleared
        assert len(cleared.value.elist) == 1
        theirs.result(timeout=10)


def test_output_is_streamed_and_can_be_followed_by_another_client(
    mec: MultiEngineClient, shared_fleet: Fleet, tmp_path: Any
) -> None:
    heard: list[str] = []
    gate = tmp_path / "gate"
    code = (
        "import os, time\nprint('before', engine_id, flush=True)\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\nprint('after', engine_id)"
    )
    pending = mec.execute(code, block=False, on_output=lambda *said: heard.append(str(said[2])))
    eventually(lambda: sum("before" in each for each in heard) == 4)
    with shared_fleet.client() as other:
        followed: list[tuple[int, str]] = []
        again = access.attach(
            other, pending.result_id,
            lambda engine, _, content: followed.append((engine, content["text"])),
        )  # fmt: skip
        eventually(lambda: len(followed) == 4)
        gate.touch()
        assert len(again.result(timeout=10)) == 4
        pending.result(timeout=10)
        for engine in range(4):
            text = "".join(text for each, text in followed if each == engine)
            assert text == f"before {engine}\nafter {engine}\n"


def test_a_request_for_an_engine_that_is_not_there_does_nothing(mec: MultiEngineClient) -> None:
    with pytest.raises(InvalidEngineID, match=r"no engine 9"):
        mec.execute("x = 1", targets=[0, 9])
    assert "x" not in mec.keys(targets=0)[0]


def test_maps_of_a_client_that_leaves_end_on_the_nodes(
    mec: MultiEngineClient, shared_fleet: Fleet
) -> None:
    def forever(_: int) -> None:
        while True:
            time.sleep(0.01)

    other = shared_fleet.client()
    other.map(forever, range(4), block=False)
    eventually(lambda: any(status["pending"] for _, status in mec.queue_status()), 30)
    other.close()
    eventually(lambda: not any(status["pending"] for _, status in mec.queue_status()), 30)


def test_kernels_of_another_kind_are_asked_only_what_they_can(
    start: Callable[..., MultiEngineClient], bash: str
) -> None:
    mec = start(None, kernel=[None, bash])
    assert mec.execute("echo $((1 + 2))", targets=1)[0].stdout.strip() == "3"
    with pytest.raises(UnsupportedOperation, match=r"engine 1 runs the kernel 'bash'"):
        mec.push({"a": 1})
    assert mec.keys(targets=0) == [[]]  # nothing was done anywhere


def test_an_engine_knows_its_node_and_its_number_there(mec: MultiEngineClient) -> None:
    nodes = [engine.node for engine in mec.engines()]
    code = "(node, local_rank, local_size)"
    places = [each.value for each in mec.execute(code)]
    assert [place[0] for place in places] == nodes
    assert [place[1:] for place in places] == [(0, 2), (0, 2), (1, 2), (1, 2)]

    def place() -> object:
        from kernelfleet import this_engine

        engine = this_engine()
        return engine and (engine.node, engine.local_rank, engine.local_size)

    assert mec.apply(place) == places
    assert not any({"node", "local_rank"} & set(names) for names in mec.keys(block=True))
    mec["local_rank"] = "mine"
    mec.scale(5)
    mec.scale(4)
    assert mec["local_rank"] == ["mine"] * 4
