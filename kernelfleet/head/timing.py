"""The head's times that depend on those of its nodes, in seconds.

A node forgets its head sooner or later (``TIMES_OF_A_HEAD``, controller/timing.py), and the head
gives up a node before that: what it has given up is never heard of again.
"""

from __future__ import annotations

from kernelfleet.session.timing import SessionTimes

#: How long a node may be silent until its engines count as dead: less than the node's own patience
#: with its head (30.0), and long enough for a cable to be plugged in again.
NODE_TIMEOUT = 10.0
#: How often the head makes sure that an idle node is there.
NODE_PING_SECONDS = 1.0
TIMES_OF_A_NODE = SessionTimes(NODE_TIMEOUT, NODE_PING_SECONDS)

#: How long the engines of all nodes may take to end.
STOP_SECONDS = 5.0
#: How long a fleet waits for workers that its cluster has been asked for.
WORKERS_SECONDS = 60.0
#: The same where the cluster has none yet, and does not know of any that will come.
FIRST_WORKER_SECONDS = 10.0
