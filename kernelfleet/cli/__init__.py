"""The command line ``kernelfleet``, also ``jupyter kernelfleet``; each sub-command has a file.

Where things are::

    the entry          app  __main__  application
    each command       commands
    what they share    base  naming  targets  parsing  completion  help  exits
    beside a start     progress  controller_log
    on a terminal      keys
    a fleet as kernel  fleet_kernelspec
    beside a run       job
"""
