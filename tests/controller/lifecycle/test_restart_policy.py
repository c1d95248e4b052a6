from __future__ import annotations

from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy


def test_the_pause_doubles_with_each_death_and_then_there_is_none() -> None:
    policy = RestartPolicy(limit=3, window=60.0)
    pauses = [policy.pause(now) for now in (0.0, 1.0, 2.0)]
    assert pauses == [0.1, 0.2, 0.4]
    assert policy.pause(3.0) is None


def test_deaths_longer_ago_than_the_window_do_not_count() -> None:
    policy = RestartPolicy(limit=2, window=10.0)
    assert policy.pause(0.0) == 0.1
    assert policy.pause(1.0) == 0.2
    assert policy.pause(9.9) is None
    assert policy.pause(10.5) == 0.2
    assert policy.pause(100.0) == 0.1
