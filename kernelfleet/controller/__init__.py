"""The controller: starts kernels, queues work for them, folds what they say into results.

Runs on one asyncio loop, of a daemon (``kernelfleet start``) or of the loop thread in the user's
process (``Fleet``). It routes the user's objects as opaque frames and never unpickles them.

Where things are::

    a whole fleet         host  daemon  options  limits  timing  logs
    who may talk to it    door
    what is asked of it   base  controller  operations  requests  clients  history
    beside a request      progress  rows
    of clients' modules   told_imports
    an engine at work     engines
    widgets of engines    comms
    how engines come      lifecycle  ranks
    local processes       processes
"""
