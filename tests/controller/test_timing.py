"""Times on both ends of a connection fit together: who waits outlasts who is waited for."""

from __future__ import annotations

from kernelfleet.client.results import call
from kernelfleet.controller import timing
from kernelfleet.head import timing as head_timing
from kernelfleet.provisioners import forkserver
from kernelfleet.session import ctrl_c
from kernelfleet.session import timing as session_timing


def test_a_client_that_pings_is_never_forgotten() -> None:
    assert timing.CHECK_SECONDS >= session_timing.IDLE_PING_SECONDS
    assert timing.CLIENT_TIMEOUT > 3 * session_timing.IDLE_PING_SECONDS
    assert timing.GONE_CHECKS * timing.CHECK_SECONDS < timing.CLIENT_TIMEOUT
    assert timing.CLIENT_TIMEOUT >= timing.DEAD_LINK_SECONDS > session_timing.DEAD_LINK_SECONDS


def test_a_client_shorter_of_patience_than_the_door_gives_up_its_handshake_itself() -> None:
    assert timing.HANDSHAKE_SECONDS > session_timing.FIRST_HANDSHAKE_TIMEOUT


def test_a_start_outlasts_the_start_of_its_fork_server() -> None:
    assert timing.START_TIMEOUT > forkserver.START_TIMEOUT + forkserver.FORK_TIMEOUT


def test_the_end_of_a_fleet_fits_into_the_patience_of_ctrl_c() -> None:
    here = 2 * timing.POLITE_SECONDS + timing.TERMINATE_SECONDS
    elsewhere = timing.REMOTE_POLITE_SECONDS + 2 * timing.REMOTE_TERMINATE_SECONDS
    assert here < elsewhere < ctrl_c.PATIENCE_SECONDS


def test_a_client_waits_for_an_interrupt_longer_than_the_controller() -> None:
    signals = timing.NAMED_INTERRUPT_SECONDS + timing.SECOND_SIGNAL_SECONDS
    assert signals < timing.RESPONSE_SECONDS < call.SETTLE_SECONDS < timing.OVERDUE_SECONDS
    assert timing.NAMED_INTERRUPT_SECONDS + timing.RESPONSE_SECONDS < call.SETTLE_SECONDS


def test_a_kernel_may_take_longer_to_exit_by_itself_than_when_it_is_stopped() -> None:
    assert timing.EXIT_SECONDS > timing.POLITE_SECONDS + timing.TERMINATE_SECONDS
    assert timing.LAST_MESSAGES_SECONDS < timing.DRAIN_SECONDS < timing.IOPUB_LAG_SECONDS


def test_a_node_outlasts_the_patience_of_its_head_and_a_reset_connection() -> None:
    times, node = timing.TIMES_OF_A_HEAD, head_timing.TIMES_OF_A_NODE
    assert node.idle_ping < node.timeout < times.timeout
    # Engines of a head that was killed: found out, and ended, within three seconds.
    found_out = times.check_seconds * times.gone_checks
    assert found_out + 2 * timing.POLITE_SECONDS + timing.TERMINATE_SECONDS <= 3.1
    assert times.check_seconds * (times.gone_checks - 1) > 1.0


def test_a_fleet_on_nodes_ends_within_the_patience_of_ctrl_c() -> None:
    here = 2 * timing.POLITE_SECONDS + timing.TERMINATE_SECONDS
    assert here < head_timing.STOP_SECONDS < ctrl_c.PATIENCE_SECONDS
