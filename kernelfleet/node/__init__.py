"""A node: the controller of the engines on one machine of many, whose only client is the head.

``python -m kernelfleet.node`` is started by ``clusters/``, one per worker of a cluster. It is the
same controller as that of a fleet on one machine: fork server, Unix sockets, shared memory, process
trees and logs stay on the machine. It differs in that the head gives the ids of its engines, and
that it ends when its head is gone.

Where things are::

    the process           __main__  beginning  serving  host  runtime_directory
    what the head asks    controller  operations
"""
