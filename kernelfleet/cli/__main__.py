# PYTHON_ARGCOMPLETE_OK
"""Runs the command line: ``python -m kernelfleet.cli``."""

import sys

from kernelfleet.cli.app import main

sys.exit(main())
