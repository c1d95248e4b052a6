"""The sub-commands of ``kernelfleet``; each has a module."""
