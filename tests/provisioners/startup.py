"""A start-up file of IPython's; see test_fork.py."""

import os

startup_ran_in = os.getpid()
