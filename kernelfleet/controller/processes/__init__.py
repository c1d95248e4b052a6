"""Everything that needs a process id of this machine."""
