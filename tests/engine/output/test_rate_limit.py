"""How much a command may put out: pure accounts, and what an engine makes of them."""

from __future__ import annotations

import pytest

from kernelfleet.engine.output.rate_limit import REMEMBERED, OutputRateLimit
from tests.engine.driver import Engine


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limit(clock: Clock, size: int = 1000) -> OutputRateLimit:
    return OutputRateLimit(size, clock)


def test_up_to_the_limit_nothing_is_changed(clock: Clock) -> None:
    accounts = limit(clock)
    assert accounts.text("a", "x" * 600) == "x" * 600
    assert accounts.text("a", "y" * 400) == "y" * 400


def test_what_is_beyond_is_cut_with_one_note(clock: Clock) -> None:
    accounts = limit(clock)
    shown = accounts.text("a", "x" * 5000)
    assert shown.startswith("x" * 1000 + "\n[kernelfleet leaves out")
    assert shown.count("x") == 1000
    assert [accounts.text("a", "more") for _ in range(3)] == ["", "", ""]


def test_every_request_has_an_account_of_its_own(clock: Clock) -> None:
    accounts = limit(clock)
    accounts.text("a", "x" * 5000)
    assert accounts.text("b", "y" * 900) == "y" * 900
    assert accounts.text("a", "x") == ""


def test_characters_are_never_cut_in_two_and_count_as_bytes(clock: Clock) -> None:
    shown = limit(clock, 5).text("a", "äää")
    assert shown.startswith("ää\n[")


def test_lone_surrogates_are_text_as_well(clock: Clock) -> None:
    assert limit(clock).text("a", "\udc80") == "\udc80"


def test_who_prints_slowly_prints_for_ever(clock: Clock) -> None:
    accounts = limit(clock, 256_000)
    for _ in range(2000):
        clock.now += 1
        assert accounts.text("a", "x" * 999) == "x" * 999


def test_output_goes_on_when_enough_has_come_back_not_by_the_letter(clock: Clock) -> None:
    accounts = limit(clock, 256)
    accounts.text("a", "x" * 300)
    clock.now += 15
    assert accounts.text("a", "x" * 10) == ""
    clock.now += 1
    assert accounts.text("a", "x" * 10) == "x" * 10


def test_a_message_that_is_too_much_is_refused_and_costs_nothing(clock: Clock) -> None:
    accounts = limit(clock)
    assert not accounts.admits("a", 1001)
    assert accounts.admits("a", 900)
    assert not accounts.admits("a", 101)
    assert accounts.text("a", "x" * 100) == "x" * 100


def test_accounts_of_old_requests_are_dropped(clock: Clock) -> None:
    accounts = limit(clock)
    for i in range(3 * REMEMBERED):
        accounts.text(str(i), "x")
    assert len(accounts._accounts) == REMEMBERED


def test_a_flood_of_lines_is_cut_and_the_command_goes_on(engine: Engine) -> None:
    done = engine.execute(
        "import sys\nline = 'x' * 999\nfor _ in range(40_000):\n    print(line)\n6 * 7"
    )
    assert 16e6 < len(done["stdout"]) < 18e6
    assert done["stdout"].count("kernelfleet leaves out") == 1
    assert done["status"] == "ok"
    assert engine.execute("print('next')")["stdout"] == "next\n"


def test_one_endless_line_comes_in_pieces_and_is_cut(engine: Engine) -> None:
    reply = engine.ask("fleet_execute_request", {"code": "print('x' * 60_000_000)"})
    sizes = [len(message["content"]["text"]) for message in engine.outputs(reply)]
    assert max(sizes) <= 1024 * 1024
    assert 16e6 < sum(sizes) < 17e6


def test_a_value_too_large_to_show_is_left_out_with_a_note(engine: Engine) -> None:
    done = engine.execute("x = 'x' * 20_000_000\nx")
    assert not done["messages"]
    assert "leaves out 19.1 MiB that were to be shown" in done["stderr"]
    assert engine.value("len(x)") == 20_000_000


def test_output_of_subprocesses_is_cut_as_well(engine: Engine) -> None:
    done = engine.execute("import subprocess\nsubprocess.run('yes | head -c 40000000', shell=True)")
    assert 16e6 < len(done["stdout"]) < 18e6
    assert done["status"] == "ok"
