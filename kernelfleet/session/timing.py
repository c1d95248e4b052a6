"""The times of a client's session that depend on each other, in seconds, and how they depend.

The other ends of some pairs are the controller's, which a client does not import: they stand in
``controller/timing.py``, and ``tests/controller/test_timing.py`` holds the order of all of them. A
time that stands alone is a constant of the module that uses it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

#: What a connection has come to; see ``reachability.py``.
Phase = Literal["none", "made", "connected", "greeted", "open"]

# How often a session looks what to do. Every other time of reachability.py is rounded to ticks of
# the loop, so that a stalled loop (a stopped process, a GIL that is held) declares nobody dead.
TICK_SECONDS = 0.25

# How long silence lasts until something is done, when an answer is awaited. After each tick of
# silence the controller is pinged. After ``PROBE_AFTER_SECONDS`` it is asked over a probe
# connection as well, which leaves several attempts before ``RECONNECT_TIMEOUT``. If neither
# connection has an answer by then, ControllerUnreachable is reported to whoever waits.
PROBE_AFTER_SECONDS = 0.75
RECONNECT_TIMEOUT = 2.5
#: The same for a client that connects for the first time, while the controller may still be shaking
#: hands. A controller gives a handshake longer (``HANDSHAKE_SECONDS``).
FIRST_HANDSHAKE_TIMEOUT = 4.0
# If the probe has an answer and the connection has none, the connection gets this long, plus what
# the bytes on their way need on the slowest network that is supported, and is then replaced.
RENEW_AFTER_SECONDS = 5.0
SLOWEST_BYTES_PER_SECOND = 1024 * 1024

#: How long a connection may take from a phase to the next before another one is tried. Together
#: with the first two a connection may outlast ``RECONNECT_TIMEOUT``: then the report comes first.
PATIENCE: dict[Phase, float] = {"made": 2.0, "connected": 4.0, "greeted": 3.0}
#: The longest pause between two attempts while nobody answers.
RETRY_SECONDS = 1.0

#: How often a client that awaits nothing makes sure that the controller is there. The controller
#: looks as often (``CHECK_SECONDS``), and forgets a client after several pings that did not come.
IDLE_PING_SECONDS = 5.0
#: Seconds until the operating system gives up bytes that the controller's host does not take.
#: The controller's own time is longer (30), as it has nobody to find again.
DEAD_LINK_SECONDS = 10


class SessionTimes(NamedTuple):
    """How patient a session is.

    Attributes:
        timeout: Seconds of silence, when an answer is awaited, until the other side is given up.
        idle_ping: How often, in seconds, it makes sure that the other side is there.
    """

    timeout: float
    idle_ping: float
