"""values.py: an object is fetched from the life that made it, or the error says why not."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.engine.values import Values, about_bytes


class Shell:
    cache_size = 1000

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {"_oh": {}}
        self.execution_count = 1

    def run(self, value: Any) -> int:
        number = self.execution_count
        if value is not None:
            self.user_ns["_oh"][number] = value
        self.execution_count += 1
        return number

    def reset(self, new_session: bool = True) -> str:
        self.user_ns = {"_oh": {}}
        if new_session:
            self.execution_count = 1
        return "done"


def test_what_a_command_has_made_is_fetched_with_its_token() -> None:
    shell = Shell()
    values = Values(shell)
    number = shell.run([1])
    assert values.last_number == number
    token = values.token(number)
    assert values.get(number, token) == [1]
    shell.run("another")
    assert values.get(number, token) == [1]


def test_a_command_without_a_value_has_no_token() -> None:
    shell = Shell()
    values = Values(shell)
    number = shell.run(None)
    assert values.token(number) == ""
    with pytest.raises(LookupError, match="has not kept it in Out"):
        values.get(number, "")


def test_after_a_reset_or_in_another_life_the_number_is_another_commands() -> None:
    shell = Shell()
    values = Values(shell)
    token = values.token(shell.run("first"))
    assert shell.reset(new_session=True) == "done"
    assert shell.run("second") == 1
    with pytest.raises(LookupError, match="has been reset since"):
        values.get(1, token)
    assert values.get(1, values.token(1)) == "second"
    with pytest.raises(LookupError, match="has been restarted since"):
        Values(shell).get(1, values.token(1))


def test_what_out_has_dropped_is_gone() -> None:
    shell = Shell()
    values = Values(shell)
    token = values.token(shell.run("x"))
    del shell.user_ns["_oh"][1]
    with pytest.raises(LookupError, match="has dropped it since"):
        values.get(1, token)
    shell.user_ns["_oh"] = "something of the user's"
    assert values.token(1) == ""


def test_out_can_be_bounded_by_bytes() -> None:
    shell = Shell()
    values = Values(shell, limit_bytes=10_000)
    for number in range(1, 6):
        made = bytearray(4_000)
        shell.run(made)
        shell.user_ns[f"_{number}"] = made
        values.bound(number)
    assert sorted(shell.user_ns["_oh"]) == [4, 5]
    assert [name for name in shell.user_ns if name != "_oh"] == ["_4", "_5"]
    shell.run(bytearray(50_000))
    values.bound(6)
    assert sorted(shell.user_ns["_oh"]) == [6]  # the last one is kept
    with pytest.raises(LookupError, match=r"keeps some 1000 objects and 10000 bytes"):
        values.get(5, values.token(6))


def test_without_a_bound_nothing_is_dropped() -> None:
    shell = Shell()
    values = Values(shell)
    for _ in range(10):
        values.bound(shell.run(bytearray(1_000_000)))
    assert len(shell.user_ns["_oh"]) == 10


class Hostile:
    def __sizeof__(self) -> int:
        raise RuntimeError

    @property
    def nbytes(self) -> int:
        raise RuntimeError


class Array:
    nbytes = 5_000_000


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (bytes(1_000_000), 1_000_000, 1_001_000),
        ([bytes(1000)] * 5000, 5_000_000, 5_500_000),
        ({i: bytes(1000) for i in range(5000)}, 5_000_000, 6_500_000),
        (Array(), 5_000_000, 5_000_000),
        ([Array()] * 10, 50_000_000, 51_000_000),
        (Hostile(), 0, 1000),
        ([], 0, 1000),
    ],
    ids=lambda each: type(each).__name__,
)
def test_sizes_are_about_right(value: object, least: int, most: int) -> None:
    assert least <= about_bytes(value) <= most
