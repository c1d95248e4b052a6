"""Liveness state machine of a client's session: when to ping, reconnect, report, and retry.

The *state* is that of the session, and the *phase* that of its present connection.

====================  ==================  ========================================================
state                 becomes             when
====================  ==================  ========================================================
``connecting``        ``up``              the controller's welcome has come
``connecting``        ``lost``            silence for ``RECONNECT_TIMEOUT``, or a refusal
``up``                ``away``            silence for ``RECONNECT_TIMEOUT``: ControllerUnreachable
``away``              ``up``              a welcome has come
``up``, ``away``      ``lost``            the fleet was stopped, or another controller is there
====================  ==================  ========================================================

A connection is ``made``, then ``connected`` (somebody listens), ``greeted`` (whoever listens speaks
our protocol and holds the server's key) and, with the welcome, ``open``. When it has ended the
phase is ``none`` until another is made. A connection may end and be replaced without anybody
noticing.

Silence on the connection alone is no proof that the controller is gone: a large message on a slow
network keeps all others waiting behind it. A *probe connection* then asks out of band whether the
controller is alive. If it is, the first connection has as long as its bytes may need, and is
replaced after that.

Pure: no sockets, no clock; time is counted in ticks. The times are in ``timing.py``.
"""

from __future__ import annotations

from typing import Literal

from kernelfleet.session.timing import (
    FIRST_HANDSHAKE_TIMEOUT,
    IDLE_PING_SECONDS,
    PATIENCE,
    PROBE_AFTER_SECONDS,
    RECONNECT_TIMEOUT,
    RENEW_AFTER_SECONDS,
    RETRY_SECONDS,
    SLOWEST_BYTES_PER_SECOND,
    TICK_SECONDS,
    Phase,
    SessionTimes,
)

State = Literal["connecting", "up", "away", "lost"]
Action = Literal["reopen", "ping", "probe", "close probe", "away", "give up"]

#: Connections in a row that may end within a tick of their welcome and are replaced at once.
SHORT_LIVED_CONNECTIONS = 5


def _ticks(seconds: float) -> int:
    return max(1, round(seconds / TICK_SECONDS))


class Reachability:
    """The state of one session. The transport reports what happens, and asks what to do."""

    def __init__(self, times: SessionTimes | None = None) -> None:
        self._times = times or SessionTimes(RECONNECT_TIMEOUT, IDLE_PING_SECONDS)
        self.state: State = "connecting"
        self.phase: Phase = "none"
        self._in_phase = 0  # ticks since the phase began
        self._until_retry = 0  # ticks
        self._failures = 0  # attempts in a row that did not become open
        self._short_lived = 0  # connections in a row that ended within a tick
        self._idle = 0  # ticks in which no answer was awaited
        self._unanswered = 0  # pings since the last message
        self._silence = 0  # ticks without a sign of the controller, though asked
        self._connection_silence = 0  # the same on this connection alone
        self._renewals = 0  # replacements of silent connections in a row
        self._is_probing = False
        self._ticks_without_need = 0  # ticks since the probe connection was needed

    # -- what happens ---------------------------------------------------------------------------

    def made(self) -> None:
        """A connection is being made."""
        self._enter("made")

    def progressed(self, phase: Phase) -> None:
        """The connection has come to another phase."""
        self._enter(phase)
        if phase == "greeted":
            self._silence = 0

    def _enter(self, phase: Phase) -> None:
        self.phase, self._in_phase = phase, 0

    def welcomed(self) -> None:
        """The controller has answered the opening of the connection."""
        self._enter("open")
        self.state = "up"
        self._failures = 0
        self._silence = self._connection_silence = self._unanswered = 0

    def heard(self) -> None:
        """A message, or a part of one, came over the open connection."""
        self._silence = self._connection_silence = self._unanswered = self._renewals = 0

    def heard_on_probe(self) -> None:
        """The probe was answered: the controller is alive, though the connection is silent."""
        self._silence = 0

    def broken(self) -> bool:
        """The connection has ended. Returns whether another is to be made at once."""
        if self.phase == "open":
            self._failures, self._short_lived = 0, 0 if self._in_phase else self._short_lived + 1
            at_once = self._short_lived <= SHORT_LIVED_CONNECTIONS
        else:
            self._failures, at_once = self._failures + 1, False
        self._until_retry = 0 if at_once else self._pause()
        self._enter("none")
        self._connection_silence = 0
        return at_once and self.state != "lost"

    def _pause(self) -> int:
        """Ticks until the next attempt: exponential backoff, up to ``RETRY_SECONDS``."""
        most = _ticks(RETRY_SECONDS) if self.state == "away" else 1
        return int(min(2 ** max(0, min(self._failures - 1, 10)), most))

    def lost(self) -> None:
        """The session has ended for good."""
        self.state = "lost"

    # -- what to do -----------------------------------------------------------------------------

    def tick(self, *, asked: bool, in_flight_bytes: int) -> list[Action]:
        """What to do now, in this order.

        Args:
            asked: Whether an answer is awaited.
            in_flight_bytes: How much was sent, in either direction, and not acknowledged.

        Returns:
            ``reopen``: replace the connection; ``ping``: ping over it; ``probe``: ping over the
            probe connection; ``close probe``; ``away``: report that nobody answers; ``give up``:
            end the session.
        """
        if self.state == "lost":
            return []
        self._in_phase += 1
        if self.phase == "open":
            return self._close_probe() + self._tick_open(asked, in_flight_bytes)
        return self._tick_not_open()

    def _tick_not_open(self) -> list[Action]:
        actions: list[Action] = []
        self._silence += 1
        if self.state != "away" and self._silence >= self._limit():
            if self.state == "connecting":
                self.state = "lost"
                return ["give up"]
            actions = self._go_away()
        if self.phase == "none":
            self._until_retry -= 1
            if self._until_retry <= 0:
                actions.append("reopen")
        elif self._in_phase >= _ticks(PATIENCE[self.phase]):
            self._failures += 1
            actions.append("reopen")
        return actions

    def _limit(self) -> int:
        shaking_hands = self.state == "connecting" and self.phase == "connected"
        timeout = self._times.timeout
        return _ticks(max(FIRST_HANDSHAKE_TIMEOUT, timeout) if shaking_hands else timeout)

    def _tick_open(self, asked: bool, in_flight_bytes: int) -> list[Action]:
        if not asked and self._unanswered < 2:
            self._idle += 1
            if self._idle % _ticks(self._times.idle_ping):
                return []
        self._silence += 1
        self._connection_silence += 1
        if self._silence >= _ticks(self._times.timeout):
            return [*self._go_away(), "reopen"]
        if self._connection_silence < _ticks(PROBE_AFTER_SECONDS):
            self._unanswered += 1
            return ["ping"]
        seconds = RENEW_AFTER_SECONDS + in_flight_bytes / SLOWEST_BYTES_PER_SECOND
        if self._connection_silence >= _ticks(seconds) * 2**self._renewals:
            self._renewals += 1
            self._connection_silence = 0
            return ["reopen"]
        self._is_probing, self._ticks_without_need = True, 0
        return ["probe"]

    def _go_away(self) -> list[Action]:
        self.state = "away"
        self._connection_silence = self._unanswered = 0
        if self._is_probing:
            self._is_probing = False
            return ["close probe", "away"]
        return ["away"]

    def _close_probe(self) -> list[Action]:
        """Close the probe connection when it has not been needed for some time."""
        self._ticks_without_need += 1
        if self._is_probing and self._ticks_without_need > _ticks(IDLE_PING_SECONDS):
            self._is_probing = False
            return ["close probe"]
        return []
