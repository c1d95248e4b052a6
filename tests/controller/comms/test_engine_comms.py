"""engine_comms.py: who has which comm, what it is now, and what Output widgets take."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.controller.comms import engine_comms as module
from kernelfleet.controller.comms.engine_comms import EngineComms
from kernelfleet.wire.operations import OPERATIONS
from kernelfleet.wire.outputs import read_pages
from tests.controller.comms.kernels import (
    Bridges,
    closing,
    custom,
    message,
    opening,
    printing,
    update,
)

RUN: Any = SimpleNamespace(msg_id="r", job=SimpleNamespace(client="me"))


@pytest.fixture
def bridges() -> Bridges:
    return Bridges("b")


@pytest.fixture
def comms(bridges: Bridges) -> EngineComms:
    return EngineComms(1, bridges)


def test_what_a_clients_code_opens_is_its_bridges(comms: EngineComms, bridges: Bridges) -> None:
    assert comms.take(opening("a", x=1), RUN)
    assert comms.take(opening("c", parent="other"), RUN)
    assert comms.take(opening("d"), None)
    assert bridges.asked == ["me", None, None]
    assert comms.take(update("a", x=2), RUN)
    assert comms.take(custom("a", "draw"), RUN)
    assert comms.take(closing("a"), RUN)
    assert bridges.take() == [
        ("b", "comm_open", "a"), ("b", "comm_open", "c"), ("b", "comm_open", "d"),
        ("b", "comm_msg", "a"), ("b", "comm_msg", "a"), ("b", "comm_close", "a"),
    ]  # fmt: skip
    assert len(comms) == 2


def test_output_of_the_command_is_not_for_comms(comms: EngineComms) -> None:
    assert not comms.take(printing("x", "r"), RUN)
    assert not comms.take(message("status", {"execution_state": "idle"}), RUN)


@pytest.mark.parametrize(
    "said",
    [message("comm_open", {}), message("comm_msg", {"comm_id": 1}), update("unknown", x=1),
     closing("unknown"), message("comm_open", {"comm_id": "c", "data": 7})],
    ids=lambda each: each.msg_type,
)  # fmt: skip
def test_what_makes_no_sense_is_dropped(comms: EngineComms, bridges: Bridges, said: Any) -> None:
    assert comms.take(said, None)
    assert bridges.take() == []
    assert len(comms) == 0


def test_who_comes_later_gets_a_widget_as_it_is_now_with_all_that_it_names(
    comms: EngineComms, bridges: Bridges
) -> None:
    bridges.opening_bridges = []
    comms.take(opening("layout", width=1), None)
    comms.take(opening("child", layout="IPY_MODEL_layout"), None)
    comms.take(opening("box", children=["IPY_MODEL_child"], n=0), None)
    comms.take(update("box", n=5, image=None, buffers=(b"bytes",)), None)
    assert bridges.take() == []
    found = comms.join("new", "box")
    assert [said.comm_id for said in found] == ["layout", "child", "box"]
    box = found[-1]
    assert box.data["state"] == {"children": ["IPY_MODEL_child"], "n": 5, "image": None}
    assert box.data["buffer_paths"] == [["image"]]
    assert [bytes(each.buffer) for each in box.buffers] == [b"bytes"]
    assert comms.join("new", "box") == []
    assert comms.join("new", "nothing") == []
    comms.take(update("box", n=6), None)
    assert bridges.take() == [("new", "comm_msg", "box")]


def test_what_a_widget_comes_to_name_is_opened_first_where_it_is_not(
    comms: EngineComms, bridges: Bridges
) -> None:
    bridges.opening_bridges = []
    comms.take(opening("old", x=1), None)
    bridges.opening_bridges = ["b"]
    comms.take(opening("box", children=[]), None)
    bridges.take()
    comms.take(update("box", children=["IPY_MODEL_old", "IPY_MODEL_gone"]), None)
    assert bridges.take() == [("b", "comm_open", "old"), ("b", "comm_msg", "box")]
    comms.take(update("box", children=["IPY_MODEL_old"]), None)
    assert bridges.take() == [("b", "comm_msg", "box")]


def test_what_the_frontend_changes_counts_although_the_kernel_does_not_repeat_it(
    comms: EngineComms,
) -> None:
    comms.take(opening("a", value=1), RUN)
    data = {"method": "update", "state": {"value": 2}, "buffer_paths": []}
    for comm_id in ("a", "b"):
        content = {"msg_type": "comm_msg", "comm_id": comm_id, "data": data}
        job: Any = SimpleNamespace(
            operation=OPERATIONS["comm"], request=SimpleNamespace(content=content), payload=[]
        )
        comms.note_request(job)
    (state,) = comms.states("b")
    assert state.data["state"] == {"value": 2}


def test_states_are_of_all_that_a_bridge_has_or_of_some_and_what_they_name(
    comms: EngineComms, bridges: Bridges
) -> None:
    comms.take(opening("a", child="IPY_MODEL_c"), RUN)
    comms.take(opening("b"), RUN)
    bridges.opening_bridges = []
    comms.take(opening("c"), RUN)
    assert {each.comm_id for each in comms.states("b")} == {"a", "b"}
    assert {each.comm_id for each in comms.states("b", ["a", "x"])} == {"a", "c"}
    assert comms.states("other") == []


def test_a_bridge_that_was_away_gets_what_it_has_missed(
    comms: EngineComms, bridges: Bridges
) -> None:
    comms.take(opening("a", x=1), RUN)
    comms.leave("b")
    comms.take(update("a", x=2), RUN)
    bridges.take()
    comms.has("b", "a")
    comms.has("b", "closed meanwhile")
    (_, said), (_, closed) = bridges.told
    assert said.data == {"method": "update", "state": {"x": 2}, "buffer_paths": []}
    assert closed.msg_type == "comm_close"
    bridges.take()
    comms.take(update("a", x=3), RUN)
    assert bridges.take() == [("b", "comm_msg", "a")]


def test_a_comm_that_is_no_widget_is_opened_as_it_was(comms: EngineComms) -> None:
    content = {"comm_id": "a", "target_name": "mine", "data": {"anything": 1}}
    comms.take(message("comm_open", content), RUN)
    comms.take(update("a", x=1), RUN)
    (found,) = comms.join("late", "a")
    assert (found.data, found.target) == ({"anything": 1}, ("mine", None))
    comms.has("b", "a")  # has no state to tell


def test_the_end_of_the_kernel_closes_all_and_says_why(
    comms: EngineComms, bridges: Bridges
) -> None:
    comms.take(opening("a"), RUN)
    bridges.take()
    comms.close_all("it was restarted")
    ((_, said),) = bridges.told
    assert (said.msg_type, said.data) == ("comm_close", {"reason": "it was restarted"})
    assert bridges.flushes == 1
    assert len(comms) == 0
    assert comms.join("b", "a") == []


def test_more_than_can_be_remembered_forgets_the_oldest(
    comms: EngineComms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_STATE_BYTES", 500)
    for i in range(20):
        comms.take(opening(f"c{i}", text="x" * 100), RUN)
    assert len(comms) == 2
    assert comms.join("late", "c0") == []
    assert len(comms.join("late", "c19")) == 1


class TestCapture:
    """What an Output widget takes is no output of the command."""

    @pytest.fixture(autouse=True)
    def _output(self, comms: EngineComms, bridges: Bridges) -> None:
        comms.take(opening("out", msg_id="", outputs=[]), RUN)
        bridges.take()

    @staticmethod
    def texts(bridges: Bridges) -> list[tuple[str, str]]:
        """The widget and the text of all that was captured."""
        told, bridges.told = bridges.told, []
        return [
            (said.comm_id, json.loads(bytes(each.content))["text"])
            for _, said in told
            for each in read_pages(said.buffers)
        ]

    def test_from_the_naming_of_a_request_to_its_end(
        self, comms: EngineComms, bridges: Bridges
    ) -> None:
        comms.take(update("out", msg_id="r"), RUN)
        assert bridges.take() == []  # the frontend could do nothing with it
        assert comms.take(printing("in", "r"), RUN)
        assert not comms.take(printing("other", "q"), RUN)
        assert not comms.take(message("status", {"execution_state": "busy"}), RUN)
        assert self.texts(bridges) == [("out", "in")]
        comms.take(update("out", msg_id=""), RUN)
        assert not comms.take(printing("after", "r"), RUN)
        assert bridges.told == []
        assert comms.captures == {}

    def test_the_innermost_takes_it(self, comms: EngineComms, bridges: Bridges) -> None:
        comms.take(opening("inner", msg_id="", outputs=[]), RUN)
        bridges.take()
        for comm_id, request in (("out", "r"), ("inner", "r"), ("inner", ""), ("out", "")):
            comms.take(update(comm_id, msg_id=request), RUN)
            comms.take(printing("x", "r"), RUN)
        assert self.texts(bridges) == [("out", "x"), ("inner", "x"), ("out", "x")]

    def test_nobody_who_shows_it_leaves_it_to_the_command(
        self, comms: EngineComms, bridges: Bridges
    ) -> None:
        comms.leave("b", "out")
        comms.take(update("out", msg_id="r"), RUN)
        assert not comms.take(printing("x", "r"), RUN)

    def test_other_properties_are_told_and_the_request_is_not(
        self, comms: EngineComms, bridges: Bridges
    ) -> None:
        comms.take(update("out", msg_id="r", outputs=[]), RUN)
        ((_, said),) = bridges.told
        assert said.data["state"] == {"outputs": []}

    def test_a_closed_widget_takes_nothing(self, comms: EngineComms, bridges: Bridges) -> None:
        comms.take(update("out", msg_id="r"), RUN)
        comms.take(closing("out"), RUN)
        assert not comms.take(printing("x", "r"), RUN)
        assert bridges.take() == [("b", "comm_close", "out")]

    def test_who_joins_is_not_told_of_the_request(self, comms: EngineComms) -> None:
        comms.take(opening("late", msg_id="r", outputs=[]), RUN)
        assert comms.captures == {"r": ["late"]}
        (found,) = comms.join("other", "late")
        assert found.data["state"]["msg_id"] == ""
