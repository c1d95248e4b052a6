"""What the kernelspec of a fleet runs: ``python safely.py kernelfleet.notebook.kernel -f FILE``."""

import sys

#: With one of these options the engines come from elsewhere, or from a fork server with more in it.
_OTHERS = ("--connect=", "--cluster=", "--engine-kernel=", "--preload=")

if not any(word.startswith(_OTHERS) for word in sys.argv):
    # Asked for by a program, it starts the fork server, which loads its modules meanwhile.
    from kernelfleet import Fleet  # noqa: F401

from kernelfleet.notebook.kernel.app import FleetKernelApp  # noqa: E402

FleetKernelApp.launch_instance()
