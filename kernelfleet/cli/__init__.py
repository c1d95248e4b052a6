"""The command line ``kernelfleet``, also ``jupyter kernelfleet``; each sub-command has a file.

Where things are::

    the entry          app  __main__  application
    each command       commands
    what they share    base  naming  parsing  completion  help  exits
    beside a start     progress  controller_log
    beside a run       job
"""
