"""The sub-commands of ``kernelfleet``, a module each."""
