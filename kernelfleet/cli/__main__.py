# PYTHON_ARGCOMPLETE_OK
"""``python -m kernelfleet.cli``."""

import sys

from kernelfleet.cli.app import main

sys.exit(main())
