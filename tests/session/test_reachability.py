"""When a client asks, reconnects, tells its callers, and tries again: tick by tick, no clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelfleet.session.reachability import Action, Reachability
from kernelfleet.session.timing import RECONNECT_TIMEOUT, TICK_SECONDS

PROMISED_TICKS = round(RECONNECT_TIMEOUT / TICK_SECONDS)


def connecting() -> Reachability:
    reach = Reachability()
    reach.made()
    return reach


def up(ticks: int = 1) -> Reachability:
    """A welcomed client whose connection has been open for some ticks."""
    reach = connecting()
    reach.progressed("connected")
    reach.progressed("greeted")
    reach.welcomed()
    for _ in range(ticks):
        reach.tick(asked=False, in_flight_bytes=0)
    return reach


def away() -> Reachability:
    reach = up()
    ticks(reach, PROMISED_TICKS)
    assert reach.state == "away"
    reach.made()
    return reach


def ticks(
    reach: Reachability,
    count: int,
    *,
    asked: bool = True,
    in_flight_bytes: int = 0,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[list[Action]]:
    """What is to be done in so many ticks, each preceded by ``meanwhile``."""
    done = []
    for _ in range(count):
        meanwhile()
        done.append(reach.tick(asked=asked, in_flight_bytes=in_flight_bytes))
    return done


def flat(done: list[list[Action]]) -> list[Action]:
    return [action for actions in done for action in actions]


# -- connecting -------------------------------------------------------------------------------


def test_who_never_answers_is_given_up_after_the_timeout_for_good() -> None:
    reach = connecting()
    done = ticks(reach, PROMISED_TICKS)
    assert done[-1] == ["give up"]
    assert "give up" not in flat(done[:-1])
    assert reach.state == "lost"
    assert not flat(ticks(reach, 100))


def test_one_who_does_not_listen_yet_is_tried_at_every_tick() -> None:
    reach = connecting()
    for _ in range(PROMISED_TICKS - 1):
        assert not reach.broken()
        assert reach.tick(asked=False, in_flight_bytes=0) == ["reopen"]
        reach.made()


def test_a_slow_handshake_may_take_longer_and_its_success_starts_the_silence_anew() -> None:
    reach = connecting()
    reach.progressed("connected")
    assert not flat(ticks(reach, PROMISED_TICKS + 2))
    reach.progressed("greeted")
    assert not flat(ticks(reach, PROMISED_TICKS - 1))
    reach.welcomed()
    assert reach.state == "up"


# -- a connection that is open -----------------------------------------------------------------


def test_while_nothing_is_awaited_the_controller_is_asked_every_five_seconds() -> None:
    reach = up(0)
    done = ticks(reach, 100, asked=False, meanwhile=reach.heard)
    assert [i for i, actions in enumerate(done, 1) if actions] == [20, 40, 60, 80, 100]
    assert set(flat(done)) == {"ping"}


def test_while_an_answer_is_awaited_it_is_asked_at_every_tick() -> None:
    reach = up()
    assert ticks(reach, 50, meanwhile=reach.heard) == [["ping"]] * 50


def test_silence_is_told_within_the_promise_and_other_lines_are_tried() -> None:
    reach = up()
    done = ticks(reach, PROMISED_TICKS)
    assert done[-1] == ["close probe", "away", "reopen"]
    assert "away" not in flat(done[:-1])
    assert reach.state == "away"


def test_an_idle_client_notices_silence_too() -> None:
    reach = up(0)
    done = flat(ticks(reach, 60, asked=False))
    assert done.count("away") == 1


def test_a_stalled_loop_declares_nobody_dead() -> None:
    reach = up()
    ticks(reach, PROMISED_TICKS - 1)
    # the stall: no tick, however long; then what had arrived is read first
    reach.heard()
    assert "away" not in flat(ticks(reach, PROMISED_TICKS - 1))


# -- a connection that breaks ------------------------------------------------------------------


def test_a_line_that_stood_is_replaced_at_once_and_nobody_is_told() -> None:
    reach = up()
    for _ in range(100):
        assert reach.broken()
        reach.made()
        reach.welcomed()
        assert set(reach.tick(asked=False, in_flight_bytes=0)) <= {"ping"}
    assert reach.state == "up"


def test_lines_that_break_as_soon_as_they_stand_make_no_busy_loop() -> None:
    reach, at_once = up(0), []
    for _ in range(8):
        at_once.append(reach.broken())
        if not at_once[-1]:
            assert reach.tick(asked=True, in_flight_bytes=0) == ["reopen"]
        reach.made()
        reach.welcomed()
    assert at_once == [True] * 5 + [False] * 3
    reach.tick(asked=True, in_flight_bytes=0)
    assert reach.broken()


def test_without_a_line_whoever_waits_is_told_within_the_promise() -> None:
    reach = up()
    assert reach.broken()
    reach.made()
    done = ticks(reach, PROMISED_TICKS)
    assert flat(done).count("away") == 1
    assert "away" in done[-1]


def test_a_line_that_hangs_in_its_handshake_is_given_up_for_another() -> None:
    for phase, seconds in (("made", 2.0), ("connected", 4.0), ("greeted", 3.0)):
        reach = away()
        reach.progressed(phase)  # type: ignore[arg-type]
        done = ticks(reach, round(seconds / TICK_SECONDS))
        assert done[-1] == ["reopen"]
        assert not flat(done[:-1])


def test_attempts_come_after_a_quarter_half_and_whole_second_while_nobody_is_there() -> None:
    reach, pauses = away(), []
    for _ in range(6):
        assert not reach.broken()
        pause = 1
        while not reach.tick(asked=True, in_flight_bytes=0):
            pause += 1
        pauses.append(pause)
        reach.made()
    assert pauses == [1, 2, 4, 4, 4, 4]


def test_a_welcome_heals() -> None:
    reach = away()
    reach.progressed("connected")
    reach.progressed("greeted")
    reach.welcomed()
    assert reach.state == "up"
    assert ticks(reach, 1) == [["ping"]]
    assert reach.broken()  # and is as new: it stood, so another is made at once


# -- a large message on a slow network --------------------------------------------------------


def test_over_a_silent_connection_a_probe_is_sent_and_a_live_controller_is_not_given_up() -> None:
    reach = up()
    done = ticks(reach, 100, in_flight_bytes=100 * 1024 * 1024, meanwhile=reach.heard_on_probe)
    assert done[:2] == [["ping"], ["ping"]]
    assert set(flat(done[2:])) == {"probe"}
    assert reach.state == "up"


def test_a_silent_connection_with_nothing_in_flight_is_replaced_though_the_controller_lives() -> (
    None
):
    reach = up()
    done = ticks(reach, 20, meanwhile=reach.heard_on_probe)
    assert done[-1] == ["reopen"]
    assert reach.state == "up"


def test_a_network_slower_than_expected_has_twice_as_long_each_time() -> None:
    reach, lengths = up(), []
    for _ in range(4):
        length = 1
        while reach.tick(asked=True, in_flight_bytes=0) != ["reopen"]:
            reach.heard_on_probe()
            length += 1
        lengths.append(length)
        reach.made()
        reach.progressed("connected")
        reach.progressed("greeted")
        reach.welcomed()  # and the large message begins again
    assert lengths == [20, 40, 80, 160]


def test_the_probe_connection_is_closed_when_the_first_has_been_lively_for_some_time() -> None:
    reach = up()
    ticks(reach, 5, meanwhile=reach.heard_on_probe)
    done = ticks(reach, 30, asked=False, meanwhile=reach.heard)
    assert flat(done).count("close probe") == 1


def test_a_controller_that_does_not_answer_the_probe_either_is_away_within_the_promise() -> None:
    reach = up()
    ticks(reach, 40, in_flight_bytes=10**9, meanwhile=reach.heard_on_probe)
    done = ticks(reach, PROMISED_TICKS, in_flight_bytes=10**9)
    assert "away" in flat(done)


@pytest.mark.parametrize("start", [connecting, up, away])
def test_who_is_lost_does_nothing_any_more(start: Callable[[], Reachability]) -> None:
    reach = start()
    reach.lost()
    assert not reach.broken()
    assert not flat(ticks(reach, 50))
