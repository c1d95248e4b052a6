"""The head of a fleet on many machines: it splits requests by node and merges the answers.

It is a controller like the one of a fleet on one machine (``controller/base.py``): clients notice
no difference. Its engines are those of nodes (``node/``), which a cluster has started
(``clusters/``). The ids of engines are given here and are the same everywhere, so nothing is
translated. Each node has one session with the head, encrypted and resending as that of any client.

Where things are::

    a whole fleet             host  timing
    what is asked of it       head  operations  progress  timeline
    one request, many nodes   parts  following
    which engine is where     registry  placed  placement
    ranks of one job          jobs
    widgets of engines        comms
    nodes                     pool  node  installations
"""
