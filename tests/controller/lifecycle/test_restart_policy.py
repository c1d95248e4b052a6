from __future__ import annotations

from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy


def test_the_pause_doubles_with_each_death_and_then_there_is_none() -> None:
    revival = RestartPolicy(limit=3, window=60.0)
    pauses = [revival.pause(now) for now in (0.0, 1.0, 2.0)]
    assert pauses == [0.1, 0.2, 0.4]
    assert revival.pause(3.0) is None


def test_deaths_longer_ago_than_the_window_do_not_count() -> None:
    revival = RestartPolicy(limit=2, window=10.0)
    assert revival.pause(0.0) == 0.1
    assert revival.pause(1.0) == 0.2
    assert revival.pause(9.9) is None
    assert revival.pause(10.5) == 0.2
    assert revival.pause(100.0) == 0.1
