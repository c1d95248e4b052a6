"""What is known of all fleets, and what of it is new to a reader."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.server.board import Board


def head(name: str = "a", **facts: object) -> Any:
    return {"name": name, "state": "running", **facts}


def row(engine_id: int, state: str = "idle") -> Any:
    return {"id": engine_id, "state": state}


def test_the_first_update_is_everything() -> None:
    board = Board()
    board.put(head(), [row(0), row(1)])
    update = board.update(-1, 5.0)
    change = {"name": "a", "new": True, "head": head(), "engines": [row(0), row(1)]}
    assert update == {"type": "update", "now": 5.0, "full": True, "fleets": [change], "gone": []}


def test_a_board_without_fleets_says_so_once() -> None:
    update = Board().update(-1, 0.0)
    assert update is not None
    assert (update["full"], update["fleets"]) == (True, [])
    assert Board().update(0, 0.0) is None


def test_what_is_put_again_unchanged_is_no_news() -> None:
    board = Board()
    assert board.put(head(), [row(0)])
    seen = board.version
    assert not board.put(head(), [row(0)])
    assert board.update(seen, 0.0) is None


def test_only_rows_that_changed_are_sent() -> None:
    board = Board()
    board.put(head(), [row(0), row(1), row(2)])
    seen = board.version
    board.put(head(), [row(0), row(1, "busy")])
    update = board.update(seen, 0.0)
    assert update is not None
    assert update["fleets"] == [{"name": "a", "engines": [row(1, "busy")], "removed": [2]}]


def test_a_successor_of_the_same_name_is_new() -> None:
    board = Board()
    board.put(head(), [row(0), row(1)])
    seen = board.version
    board.remove("a")
    board.put(head(), [row(0)])
    update = board.update(seen, 0.0)
    assert update is not None
    assert (update["fleets"][0]["new"], update["gone"]) == (True, [])


def test_who_has_missed_many_ends_is_sent_everything() -> None:
    board = Board()
    board.put(head("b"), [])
    seen = board.version
    for number in range(150):
        board.put(head(f"fleet-{number}"), [])
        board.remove(f"fleet-{number}")
    update = board.update(seen, 0.0)
    assert update is not None
    assert (update["full"], [each["name"] for each in update["fleets"]]) == (True, ["b"])


class Page:
    """What a page knows that applies updates as docs/rest.md says."""

    def __init__(self) -> None:
        self.since = -1
        self.fleets: dict[str, Any] = {}

    def read(self, board: Board) -> None:
        update = board.update(self.since, 0.0)
        self.since = board.version
        if update is None:
            return
        if update["full"]:
            self.fleets = {}
        for name in update["gone"]:
            self.fleets.pop(name, None)
        for change in update["fleets"]:
            if change.get("new"):
                self.fleets[change["name"]] = {"head": None, "engines": {}}
            fleet = self.fleets[change["name"]]
            fleet["head"] = change.get("head", fleet["head"])
            for engine_id in change.get("removed", ()):
                fleet["engines"].pop(engine_id, None)  # (it may have come and gone unheard)
            fleet["engines"].update({each["id"]: each for each in change.get("engines", ())})


STEPS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.none() | st.dictionaries(st.integers(0, 3), st.sampled_from(["idle", "busy"])),
        st.booleans(),
    )
)


@given(STEPS)
def test_a_page_that_looks_now_and_then_knows_what_is(steps: list[Any]) -> None:
    board, page = Board(), Page()
    for name, engines, looks in steps:
        if engines is None:
            board.remove(name)
        else:
            board.put(head(name), [row(*each) for each in engines.items()])
        if looks:
            page.read(board)
    page.read(board)
    assert sorted(page.fleets) == board.names
    for name, known in page.fleets.items():
        fleet = board.get(name)
        assert fleet is not None
        assert sorted(known["engines"].values(), key=lambda each: each["id"]) == sorted(
            fleet["engines"], key=lambda each: each["id"]
        )
