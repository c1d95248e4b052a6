"""When a client asks, reconnects, tells its callers that nobody is there, and tries again.

::

    connecting --welcome--> up --silence--> away --welcome--> up
         |                   |                |
         +---silence, refused+--stopped, another controller----> lost

A *line* is one connection: it is being ``made``, ``connected`` (somebody listens), ``greeted``
(who speaks our protocol and holds the server's key), and ``open`` with the welcome. It may break
and be made again without anybody noticing; silence longer than ``RECONNECT_TIMEOUT`` is told to
whoever waits.

Silence on the line alone is no proof that the controller is gone: a large message on a slow
network keeps all others waiting behind it. A second line *aside* then asks whether the controller
is alive. If it is, the first one has as long as its bytes may need, and is made anew after that.

Time is counted in ticks of the loop: a stalled loop (a stopped process, a GIL that is held)
declares nobody dead.

Pure: no sockets, no clock.
"""

from __future__ import annotations

from typing import Literal

State = Literal["connecting", "up", "away", "lost"]
Phase = Literal["none", "made", "connected", "greeted", "open"]
Action = Literal["reopen", "ping", "ping aside", "leave side", "away", "give up"]

TICK_SECONDS = 0.25
#: Silence of a controller that has been asked something, until it counts as unreachable.
RECONNECT_TIMEOUT = 2.5
#: The same while it may still be shaking hands with a client that connects for the first time.
FIRST_HANDSHAKE_TIMEOUT = 4.0
#: How long a line may take from one phase to the next before another is tried.
PATIENCE: dict[Phase, float] = {"made": 2.0, "connected": 4.0, "greeted": 3.0}
#: How often a client that asks nothing makes sure that the controller is there.
IDLE_PING_SECONDS = 5.0
#: Silence on the line after which the controller is asked aside, and after which the line is made
#: anew although the controller is alive.
ASIDE_SECONDS = 0.75
LINE_SECONDS = 5.0
#: The slowest network on which large messages arrive without starting over.
BYTES_PER_SECOND = 1024 * 1024
#: Lines in a row that may break as soon as they stand and be replaced at once.
SHORT_LIVED_LINES = 5
#: The longest time between two attempts.
RETRY_SECONDS = 1.0


def _ticks(seconds: float) -> int:
    return max(1, round(seconds / TICK_SECONDS))


class Reachability:
    """The state of one client's way to its controller; told what happens, it says what to do."""

    def __init__(self) -> None:
        self.state: State = "connecting"
        self.phase: Phase = "none"
        self._in_phase = 0  # ticks
        self._until_retry = 0
        self._failures = 0
        self._short_lived = 0  # lines in a row that broke within a tick
        self._idle = 0
        self._unanswered = 0  # pings
        self._silence = 0  # ticks the controller was asked in vain
        self._line_silence = 0  # the same of this line
        self._renewals = 0  # of the line in a row, in vain
        self._aside = False
        self._without_need = 0  # ticks since the line aside was of use

    # -- what happens ---------------------------------------------------------------------------

    def made(self) -> None:
        """A line has been made."""
        self._enter("made")

    def progressed(self, phase: Phase) -> None:
        """The line has come to another phase."""
        self._enter(phase)
        if phase == "greeted":
            self._silence = 0

    def _enter(self, phase: Phase) -> None:
        self.phase, self._in_phase = phase, 0

    def welcomed(self) -> None:
        """The controller has answered the line's opening."""
        self._enter("open")
        self.state = "up"
        self._failures = 0
        self._silence = self._line_silence = self._unanswered = 0

    def heard(self) -> None:
        """Something came over the open line."""
        self._silence = self._line_silence = self._unanswered = self._renewals = 0

    def heard_aside(self) -> None:
        """The controller is alive, whatever the line is busy with."""
        self._silence = 0

    def broken(self) -> bool:
        """The line has ended; whether to make another at once."""
        if self.phase == "open":
            self._failures, self._short_lived = 0, 0 if self._in_phase else self._short_lived + 1
            at_once = self._short_lived <= SHORT_LIVED_LINES
        else:
            self._failures, at_once = self._failures + 1, False
        self._until_retry = 0 if at_once else self._pause()
        self._enter("none")
        self._line_silence = 0
        return at_once and self.state != "lost"

    def _pause(self) -> int:
        """Ticks until the next attempt: twice as many each time, up to a second."""
        most = _ticks(RETRY_SECONDS) if self.state == "away" else 1
        return int(min(2 ** max(0, min(self._failures - 1, 10)), most))

    def lost(self) -> None:
        """For good."""
        self.state = "lost"

    # -- what to do -----------------------------------------------------------------------------

    def tick(self, *, asked: bool, under_way_bytes: int) -> list[Action]:
        """What to do now, in this order.

        Args:
            asked: An answer is awaited.
            under_way_bytes: Sent in either direction and not acknowledged.
        """
        if self.state == "lost":
            return []
        self._in_phase += 1
        if self.phase == "open":
            return self._leave_side() + self._tick_on_line(asked, under_way_bytes)
        return self._tick_without_line()

    def _tick_without_line(self) -> list[Action]:
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
        return _ticks(FIRST_HANDSHAKE_TIMEOUT if shaking_hands else RECONNECT_TIMEOUT)

    def _tick_on_line(self, asked: bool, under_way_bytes: int) -> list[Action]:
        if not asked and self._unanswered < 2:
            self._idle += 1
            if self._idle % _ticks(IDLE_PING_SECONDS):
                return []
        self._silence += 1
        self._line_silence += 1
        if self._silence >= _ticks(RECONNECT_TIMEOUT):
            return [*self._go_away(), "reopen"]
        if self._line_silence < _ticks(ASIDE_SECONDS):
            self._unanswered += 1
            return ["ping"]
        seconds = LINE_SECONDS + under_way_bytes / BYTES_PER_SECOND
        if self._line_silence >= _ticks(seconds) * 2**self._renewals:
            self._renewals += 1
            self._line_silence = 0
            return ["reopen"]
        self._aside, self._without_need = True, 0
        return ["ping aside"]

    def _go_away(self) -> list[Action]:
        self.state = "away"
        self._line_silence = self._unanswered = 0
        if self._aside:
            self._aside = False
            return ["leave side", "away"]
        return ["away"]

    def _leave_side(self) -> list[Action]:
        """The line aside is closed when the line has been lively for some time."""
        self._without_need += 1
        if self._aside and self._without_need > _ticks(IDLE_PING_SECONDS):
            self._aside = False
            return ["leave side"]
        return []
