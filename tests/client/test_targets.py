"""Which engines a call goes to, and how targets are typed; nothing typed is evaluated."""

import numpy as np
import pytest

from kernelfleet.client.targets import (
    as_text,
    check_block,
    check_targets,
    check_timeout,
    parse_targets,
    resolve,
    time_left,
)
from kernelfleet.errors import InvalidEngineID, NoEnginesRegistered

IDS = [3, 0, 1]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("all", [0, 1, 3]),
        (0, [0]),
        (np.int64(3), [3]),
        (np.array(1), [1]),
        ([3, 0], [3, 0]),
        ((1, 1, 3), [1, 1, 3]),
        ([np.int32(1), 0], [1, 0]),
        (np.array([3, 1]), [3, 1]),
        ([], []),
        ((), []),
        (range(2), [0, 1]),
        (range(1, -1, -1), [1, 0]),
        (slice(None), [0, 1, 3]),
        (slice(1, None), [1, 3]),
        (slice(None, None, -1), [3, 1, 0]),
        (slice(-1, None), [3]),
    ],
)
def test_targets_resolve_to_ids(targets: object, expected: list[int]) -> None:
    resolved = resolve(targets, IDS)
    assert resolved == expected
    assert all(type(each) is int for each in resolved)


@pytest.mark.parametrize(
    "targets", [2, -1, [0, 2], [0, -1], range(3), "ALL", "0", "", ["all"], np.int64(9), 10**30]
)
def test_an_engine_that_is_not_there_is_an_invalid_engine_id(targets: object) -> None:
    with pytest.raises(InvalidEngineID):
        resolve(targets, IDS)


@pytest.mark.parametrize(
    "targets",
    [
        None,
        True,
        1.0,
        [1.0],
        [True],
        [None],
        [[0]],
        {0, 1},
        {0: 1},
        b"\x00",
        bytearray(1),
        memoryview(b"\x00"),
        (i for i in range(2)),
        np.bool_(True),
        np.array([0.5]),
        np.array([[0, 1]]),
        np.array([True, False]),
        slice("a", None),
        slice(None, None, 0),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_other_type_is_a_plain_value_error_that_says_what_is_valid(targets: object) -> None:
    with pytest.raises(ValueError, match="targets must be 'all', an engine id") as caught:
        resolve(targets, IDS)
    assert not isinstance(caught.value, InvalidEngineID)


def test_all_of_no_engines_is_an_error_and_other_empty_targets_are_not() -> None:
    with pytest.raises(NoEnginesRegistered, match="no engines"):
        resolve("all", [])
    assert resolve([], []) == []
    assert resolve(slice(None), []) == []
    with pytest.raises(InvalidEngineID, match="no engine 0: the fleet has no engines"):
        resolve(0, [])


def test_the_message_names_the_engines_that_are_there() -> None:
    with pytest.raises(InvalidEngineID, match=r"^no engine 7: the engines are 0-1,3$"):
        resolve([0, 7], IDS)


def test_a_dead_engine_says_how_it_died_and_what_brings_it_back() -> None:
    dead = {1: "killed by signal 9 (SIGKILL)"}
    with pytest.raises(InvalidEngineID) as caught:
        resolve([0, 1], [0, 2], dead)
    assert str(caught.value) == (
        "engine 1 died: killed by signal 9 (SIGKILL); mec.restart(1) brings it back"
    )
    assert resolve("all", [0, 2], dead) == [0, 2]
    with pytest.raises(NoEnginesRegistered, match=r"1 died; mec.restart\(\[1\]\)"):
        resolve("all", [], dead)


def test_restart_may_name_dead_engines() -> None:
    dead = {1: "killed"}
    assert resolve([1, 0], [0], dead, allow_dead=True) == [1, 0]
    assert resolve("all", [0], dead, allow_dead=True) == [0, 1]
    assert resolve("all", [], dead, allow_dead=True) == [1]
    with pytest.raises(InvalidEngineID):
        resolve(2, [0], dead, allow_dead=True)


def test_checked_targets_are_the_clients_own() -> None:
    mine = [0, 2]
    checked = check_targets(mine)
    mine.append(5)
    assert checked == [0, 2]
    assert check_targets("all") == "all"
    assert check_targets(np.int64(2)) == 2
    assert check_targets(slice(1, 3)) == slice(1, 3)
    assert check_targets(99) == 99


@pytest.mark.parametrize("targets", ["everyone", -1, [0, -2]])
def test_an_impossible_target_is_refused_when_assigned(targets: object) -> None:
    with pytest.raises(InvalidEngineID):
        check_targets(targets)


def test_block_must_be_a_bool() -> None:
    assert check_block(True) is True
    assert check_block(False) is False
    for wrong in (0, 1, None, "yes", np.bool_(True), [0]):
        with pytest.raises(ValueError, match="block must be True or False"):
            check_block(wrong)


@pytest.mark.parametrize("timeout", [None, 0, 2.5, float("inf"), np.float64(1)])
def test_a_timeout_is_a_number_of_seconds_or_none(timeout: object) -> None:
    assert check_timeout(timeout) == timeout


@pytest.mark.parametrize(
    ("timeout", "error"),
    [("1", TypeError), (True, TypeError), (float("nan"), ValueError)],
)
def test_a_timeout_that_makes_no_sense_is_refused(timeout: object, error: type[Exception]) -> None:
    for check in (check_timeout, time_left):
        with pytest.raises(error, match="timeout is"):
            check(timeout)


@pytest.mark.parametrize("timeout", [-1, -0.5, float("-inf")])
def test_a_negative_timeout_of_a_call_is_refused_with_how_to_say_no_limit(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"^last is 0 seconds or more, or None for no limit, not"):
        check_timeout(timeout, "last")


@pytest.mark.parametrize("timeout", [0, -1, -0.5, float("-inf")])
def test_of_a_deadline_that_has_passed_no_time_is_left(timeout: float) -> None:
    assert time_left(timeout) == 0.0


def test_another_switch_is_refused_by_its_own_name() -> None:
    with pytest.raises(ValueError, match=r"^progress must be True or False, not 1$"):
        check_block(1, "progress")


def test_dead_engines_are_named_in_order_whenever_they_died() -> None:
    dead = {10: "killed", 2: "killed", 1: "killed"}
    with pytest.raises(NoEnginesRegistered, match=r"1-2,10 died; mec.restart\(\[1, 2, 10\]\)"):
        resolve("all", [], dead)


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("all", "all"),
        ("0", 0),
        ("0,2", [0, 2]),
        ("2, 0, 2", [2, 0, 2]),
        ("3,", 3),
        ("1:4", slice(1, 4)),
        ("::2", slice(None, None, 2)),
        ("-1:", slice(-1, None)),
        ("-1", slice(-1, None)),
        ("-2", slice(-2, -1)),
        (":", slice(None, None)),
        ("0,-1", [0, 3]),
        ("0,2:", [0, 2, 3]),
        ("all,0", [0, 1, 2, 3, 0]),
    ],
)
def test_targets_are_read(text: str, targets: object) -> None:
    assert parse_targets(text, [0, 1, 2, 3]) == targets


@pytest.mark.parametrize(
    "text", ["", "x", "range(4)", "__import__('os')", "1.5", "0;1", "1:2:0", "[0,1]", "1:2:3:4"]
)
def test_everything_else_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(ValueError, match="targets are all, 0, 0,2"):
        parse_targets(text, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        ("all", "all"),
        (2, "2"),
        ([0, 2], "[0, 2]"),
        (slice(1, None), "1:"),
        (slice(0, 4, 2), "0:4:2"),
    ],
)
def test_targets_are_told_as_one_would_write_them(targets: object, text: str) -> None:
    assert as_text(targets) == text


def test_slices_count_in_the_order_of_ids_and_all_in_that_of_the_fleet() -> None:
    assert parse_targets("7,-1", [10, 2, 7]) == [7, 10]
    assert parse_targets("0:1,7", [10, 2, 7]) == [2, 7]
    assert parse_targets("all,7", [10, 2, 7]) == [10, 2, 7, 7]


def test_what_has_items_and_no_length_or_a_length_and_no_items_is_no_sequence() -> None:
    class Items:
        def __getitem__(self, index: int) -> int:
            return index

    class Length:
        def __len__(self) -> int:
            return 1

    for wrong in (Items(), Length()):
        with pytest.raises(ValueError, match="targets must be 'all'"):
            check_targets(wrong)
