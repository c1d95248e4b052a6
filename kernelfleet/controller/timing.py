"""The controller's times that depend on each other, in seconds, and how they depend.

A time that stands alone is a constant of the module that uses it. The other ends of some pairs are
the client's and the fork server's, which the controller does not import: ``session/`` and
``provisioners/`` are named beside them, and ``tests/controller/test_timing.py`` holds the order of
all of them.
"""

from __future__ import annotations

from typing import NamedTuple

# Whether a client is there. An idle client pings every ``IDLE_PING_SECONDS`` (5.0,
# session/timing.py). The controller looks as often, and forgets a client that has been
# silent for several pings. One that has no connection either is forgotten after ``GONE_CHECKS``
# looks: its process has ended, or what waited there has failed by then; if it comes back, it
# starts a new session.
CHECK_SECONDS = 5.0
GONE_CHECKS = 2
CLIENT_TIMEOUT = 30.0
# The client of a node is the head of its fleet, and the node ends when it forgets its head. The
# head pings an idle node every ``NODE_PING_SECONDS`` (1.0, head/timing.py). A head that was killed
# leaves no engine behind for more than three seconds (the third look, and the end of engines in a
# tight loop), while a connection that was reset has more than one second to be made again.
HEAD_CHECK_SECONDS = 0.6
HEAD_GONE_CHECKS = 3
#: After this libzmq closes a connection whose other end has vanished. The host of a client answers
#: keepalives also for a stopped process, so this may be as long as ``CLIENT_TIMEOUT`` allows. The
#: client's own is shorter (10, session/timing.py), as it has a controller to find again.
DEAD_LINK_SECONDS = 30
#: A connection's handshake takes milliseconds; a client gives up its first after
#: ``FIRST_HANDSHAKE_TIMEOUT`` (4.0, session/timing.py), so a longer one is nobody's.
HANDSHAKE_SECONDS = 10.0

# How an engine starts. It includes the start of a fork server with what it preloads
# (``START_TIMEOUT`` 30.0, provisioners/forkserver.py) and the fork (``FORK_TIMEOUT`` 5.0).
START_TIMEOUT = 60.0

# How an engine of this machine ends: asked, then SIGTERM, then SIGKILL. Together they stay well
# below ``PATIENCE_SECONDS`` (10.0, session/ctrl_c.py), after which Ctrl-C abandons ``Fleet.stop``.
POLITE_SECONDS = 0.5
TERMINATE_SECONDS = 0.3
# The same for an engine elsewhere, whose provisioner may have to ask a cluster. A provisioner gets
# ``ANSWER_SECONDS`` for each thing that it is asked or told.
REMOTE_POLITE_SECONDS = 3.0
REMOTE_TERMINATE_SECONDS = 2.0
ANSWER_SECONDS = 5.0

# How an interrupt goes. kernelfleet's own kernel is told which request is meant. If it does not
# answer within ``NAMED_INTERRUPT_SECONDS``, C code holds its GIL and it gets a signal, as it does
# when it has answered ``NAMED_INTERRUPTS`` times that it was asked too late. Any other kernel gets
# the signal when it has begun the request, at the latest after ``BEGIN_SECONDS``, and a second one
# after ``SECOND_SIGNAL_SECONDS``. ``interrupt()`` waits ``RESPONSE_SECONDS`` for the end of what it
# interrupted; a client waits for the answer a little longer (``SETTLE_SECONDS`` 1.5,
# client/results/call.py).
NAMED_INTERRUPT_SECONDS = 0.3
NAMED_INTERRUPTS = 10
SECOND_SIGNAL_SECONDS = 0.5
RESPONSE_SECONDS = 1.0
BEGIN_SECONDS = 2.0
#: A task whose time is up has had both signals by then, and is reported to go on regardless.
OVERDUE_SECONDS = 2.0

# What a kernel still sends. Its last messages arrive ``LAST_MESSAGES_SECONDS`` after its death at
# the latest, and are then read for up to ``DRAIN_SECONDS``. Output that a reply has announced is
# awaited for ``IOPUB_LAG_SECONDS``. A kernel whose cell asked to exit may take ``EXIT_SECONDS``,
# which is longer than a shutdown that the controller asks for, as user code may run at exit.
LAST_MESSAGES_SECONDS = 0.02
DRAIN_SECONDS = 1.0
IOPUB_LAG_SECONDS = 5.0
EXIT_SECONDS = 10.0


class ClientTimes(NamedTuple):
    """When a door forgets a client that is not heard of.

    Attributes:
        check_seconds: How often it looks.
        gone_checks: In how many looks in a row a client may have no connection.
        timeout: How long a client may be silent while it has one.
    """

    check_seconds: float
    gone_checks: int
    timeout: float


#: Of a node, whose only client is its head.
TIMES_OF_A_HEAD = ClientTimes(HEAD_CHECK_SECONDS, HEAD_GONE_CHECKS, CLIENT_TIMEOUT)
