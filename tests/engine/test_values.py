"""values.py: an object is fetched from the life that made it, or the error says why not."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.engine.values import Values


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
