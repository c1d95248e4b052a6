"""The command line, ``kernelfleet`` and ``jupyter kernelfleet``: a file per sub-command."""
