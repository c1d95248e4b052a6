"""The comms that engines open: widgets above all, which frontends of clients show.

A *bridge* is a notebook's kernel that passes the comms of a fleet on to its frontend. It may have
several clients of the fleet, which all name it. Nothing here is used before a kernel has opened
a comm.

Where things are::

    the comms of one engine       engine_comms
    what waits for one bridge     pending
    the bridges of a fleet        router
    what a client asks            calls
"""
