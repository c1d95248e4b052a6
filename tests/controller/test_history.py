"""history.py: what is kept of finished work, and for how long."""

from __future__ import annotations

import pytest

from kernelfleet.controller.history import Command, CommandHistory, ResultStore, size_of


def test_commands_are_found_by_number_and_the_latest_is_the_one_that_ended_last() -> None:
    commands = CommandHistory()
    commands.put(2, Command({"code": "b"}))
    commands.put(1, Command({"code": "a"}, [b"frame"]))
    assert commands.get(None) == Command({"code": "a"}, [b"frame"])
    assert commands.get(2) == Command({"code": "b"})
    commands.clear()
    with pytest.raises(LookupError, match="no command has finished"):
        commands.get(None)


def test_the_oldest_commands_go_and_their_number_says_so() -> None:
    commands = CommandHistory(max_count=2)
    for number in (1, 2, 3):
        commands.put(number, Command({}))
    with pytest.raises(LookupError, match="command 1 has been dropped"):
        commands.get(1)
    with pytest.raises(LookupError, match="no finished command 4"):
        commands.get(4)
    commands = CommandHistory(max_bytes=500)
    for number in (1, 2):
        commands.put(number, Command({"code": "x" * 400}))
    with pytest.raises(LookupError, match="dropped"):
        commands.get(1)
    assert commands.get(2) == commands.get(None)


def test_what_a_client_holds_is_not_dropped() -> None:
    results = ResultStore(max_count=2)
    results.hold("held", "client")
    for name in ("held", "a", "b", "c"):
        results.put(name, {}, [], 0)
    assert results.get("held") is not None
    assert results.get("a") is None
    results.release("held", "client")
    results.put("d", {}, [], 0)
    assert results.get("held") is None


def test_a_result_held_twice_is_released_twice() -> None:
    results = ResultStore(max_count=0)
    results.hold("r", "one")
    results.hold("r", "one")
    results.hold("r", "two")
    results.put("r", {}, [], 0)
    results.release("r", "one")
    results.release("r", "two")
    assert results.get("r") is not None
    results.release("r", "two")  # it has let go already
    assert results.get("r") is not None
    results.release("r", "one")
    assert results.get("r") is None


def test_a_result_let_go_before_it_is_there_is_not_held() -> None:
    results = ResultStore(max_count=0)
    results.hold("r", "client")
    results.release("r", "client")
    results.put("r", {}, [], 0)
    assert results.get("r") is None


def test_a_client_that_is_gone_holds_nothing() -> None:
    results = ResultStore(max_bytes=1000)
    for name in ("a", "b"):
        results.hold(name, "client")
        results.put(name, {}, [b"x" * 900], 900)
    assert results.get("a") is not None
    results.release_all("client")
    assert results.get("a") is None
    results.release_all("nobody")


def test_sizes_count_what_is_inside() -> None:
    assert size_of({"a": ["x" * 1000]}) > 1000
    assert size_of(3) < 100


@pytest.mark.parametrize("where", ["buffers", "outputs"])
def test_the_exceptions_and_outputs_of_commands_count_as_well(where: str) -> None:
    commands = CommandHistory(max_bytes=2000)
    for number in (1, 2):
        commands.put(number, Command({}, **{where: [b"x" * 1500]}))
    with pytest.raises(LookupError, match="dropped"):
        commands.get(1)
    assert commands.get(2) == commands.get(None)


def test_asking_for_one_result_for_ever_costs_nothing() -> None:
    results = ResultStore(max_count=3)
    for name in ("a", "b", "held"):
        results.put(name, {}, [], 0)
    results.hold("held", "client")
    for _ in range(10_000):
        results.hold("b", "client")
        results.release("b", "client")
    assert len(results._free) < 300
    results.put("c", {}, [], 0)
    assert [results.get(name) is not None for name in ("a", "b", "held")] == [False, True, True]
