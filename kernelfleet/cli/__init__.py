"""The command line, ``kernelfleet`` and ``jupyter kernelfleet``: a file per sub-command.

Where things are::

    the entry          app  __main__  application
    each command       commands
    what they share    base  naming  parsing  completion  help  exits
    beside a start     progress  controller_log
    beside a run       job
"""
