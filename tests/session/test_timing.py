"""timing.py: the order in which a silent controller is pinged, probed, reported and replaced."""

from __future__ import annotations

from kernelfleet.session import timing


def test_a_probe_has_several_ticks_before_a_controller_counts_as_unreachable() -> None:
    left = timing.RECONNECT_TIMEOUT - timing.PROBE_AFTER_SECONDS
    assert timing.TICK_SECONDS < timing.PROBE_AFTER_SECONDS
    assert left >= 4 * timing.TICK_SECONDS


def test_a_connection_is_replaced_only_after_a_dead_controller_would_have_been_reported() -> None:
    assert timing.RECONNECT_TIMEOUT < timing.RENEW_AFTER_SECONDS


def test_a_first_handshake_may_take_longer_than_silence_later() -> None:
    assert timing.RECONNECT_TIMEOUT < timing.FIRST_HANDSHAKE_TIMEOUT
    assert timing.PATIENCE["connected"] >= timing.FIRST_HANDSHAKE_TIMEOUT


def test_somebody_who_listens_again_is_found_before_the_next_idle_ping() -> None:
    assert timing.TICK_SECONDS <= timing.RETRY_SECONDS < timing.IDLE_PING_SECONDS
