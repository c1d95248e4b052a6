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


def kept_of(results: ResultStore, *names: str) -> list[str]:
    """Which of these results are still there."""
    return [name for name in names if results.get(name) is not None]


def test_a_free_result_that_a_client_attaches_to_is_not_dropped() -> None:
    results = ResultStore(max_count=2)
    for name in ("attached", "free"):
        results.put(name, {}, [], 0)
    results.hold("attached", "client")  # it is the oldest, and was free until now
    results.put("new", {}, [], 0)
    assert kept_of(results, "attached", "free", "new") == ["attached", "new"]
    results.put("newer", {}, [], 0)
    assert kept_of(results, "attached", "new", "newer") == ["attached", "newer"]


def test_a_result_that_is_kept_anew_counts_once_and_is_as_young_as_the_new_one() -> None:
    results = ResultStore(max_count=2)
    for name in ("twice", "other", "twice"):
        results.put(name, {"of": name}, [], 0)
    results.put("new", {}, [], 0)
    assert kept_of(results, "twice", "other", "new") == ["twice", "new"]
    results = ResultStore(max_bytes=2500)
    for _ in range(9):
        results.put("again", {}, [b""], 1000)
    results.put("other", {}, [b""], 1000)
    assert kept_of(results, "again", "other") == ["again", "other"]


def test_clients_that_are_gone_leave_nothing_behind() -> None:
    results = ResultStore()
    for client in ("released", "gone"):
        results.hold("r", client)
        results.put("r", {}, [], 0)
    results.release("r", "released")
    for client in ("released", "gone", "never seen"):
        results.release_all(client)
    assert not results._holds
    assert not results._holders


def test_results_that_are_let_go_out_of_order_are_dropped_oldest_first() -> None:
    names = [str(number) for number in range(8)]
    results = ResultStore(max_count=8)
    for name in names:
        results.hold(name, "client")
        results.put(name, {}, [], 0)
    for name in reversed(names):
        results.release(name, "client")
    for number in range(4):
        results.put(f"new {number}", {}, [], 0)
    assert kept_of(results, *names) == names[4:]


def test_many_attachments_to_one_result_do_not_disturb_the_order_of_the_others() -> None:
    names = [str(number) for number in range(30)]
    results = ResultStore(max_count=30)
    for name in names:
        results.hold(name, "client")
        results.put(name, {}, [], 0)
    for name in [*reversed(names), *["29"] * 500]:
        results.hold(name, "other")
        results.release(name, "client")
        results.release(name, "other")
    for number in range(10):
        results.put(f"new {number}", {}, [], 0)
    assert kept_of(results, *names) == names[10:]


@pytest.mark.parametrize("limits", [{"max_count": 2}, {"max_bytes": 2 * 1100}])
def test_results_up_to_the_very_limit_are_kept(limits: dict[str, int]) -> None:
    results = ResultStore(**limits)
    overhead = size_of({})
    for name in ("a", "b"):
        results.put(name, {}, [], 1100 - overhead)
    assert kept_of(results, "a", "b") == ["a", "b"]
    results.put("c", {}, [], 1)
    assert kept_of(results, "a", "b", "c") == ["b", "c"]


def test_commands_up_to_the_very_limit_are_kept() -> None:
    size = Command({}).size_bytes
    for commands in (CommandHistory(max_count=2), CommandHistory(max_bytes=2 * size)):
        for number in (1, 2):
            commands.put(number, Command({}))
        commands.get(1)
        commands.put(3, Command({}))
        commands.get(2)
        with pytest.raises(LookupError, match="command 1 has been dropped"):
            commands.get(1)


def test_a_command_that_is_kept_anew_counts_once_and_forgotten_ones_not_at_all() -> None:
    size = Command({}).size_bytes
    commands = CommandHistory(max_bytes=2 * size)
    for number in (1, 2, 2, 2):
        commands.put(number, Command({}))
    assert commands.get(1) == Command({})
    commands.clear()
    for number in (1, 2):
        commands.put(number, Command({}))
    assert commands.get(1) == Command({})


def test_commands_that_end_out_of_order_are_not_taken_for_ones_that_never_were() -> None:
    commands = CommandHistory(max_count=1)
    for number in (3, 5, 4):
        commands.put(number, Command({}))
    assert commands.highest == 5
    with pytest.raises(LookupError, match="command 5 has been dropped"):
        commands.get(5)
    with pytest.raises(LookupError, match="no finished command 6"):
        commands.get(6)
    for number in (0, -1):
        with pytest.raises(LookupError, match=f"no command {number}: they are numbered from 1"):
            commands.get(number)
    commands.clear()
    assert commands.highest == 0
    with pytest.raises(LookupError, match="no finished command 1"):
        commands.get(1)


def test_without_limits_everything_is_kept() -> None:
    commands = CommandHistory(None, None)
    results = ResultStore(None, None)
    for number in range(2000):
        commands.put(number + 1, Command({}, [b"x" * 100_000]))
        results.put(str(number), {}, [], 100_000)
    commands.get(1)
    assert results.get("0") is not None


def test_every_text_and_every_number_costs_something() -> None:
    assert size_of([0] * 100) - size_of([]) > 1000
    assert size_of([""] * 100) > 5000
    assert size_of(b"") == size_of("") >= 30


def test_what_is_inside_a_tuple_is_counted_as_well() -> None:
    assert size_of(("x" * 1000,)) == size_of(["x" * 1000]) > 1000


def test_a_fresh_history_has_dropped_nothing() -> None:
    with pytest.raises(LookupError, match="no finished command 1"):
        CommandHistory().get(1)
