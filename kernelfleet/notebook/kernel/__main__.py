"""What the kernelspec of a fleet runs: ``python safely.py kernelfleet.notebook.kernel -f FILE``."""

from kernelfleet.notebook.kernel.app import FleetKernelApp

FleetKernelApp.launch_instance()
