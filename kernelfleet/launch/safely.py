"""``python safely.py MODULE ARGUMENTS``: as ``python -m MODULE ARGUMENTS``, but for the path.

Any Python 3 may run this, also one that has no kernelfleet.
"""

import sys

if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]  # the directory of this script

import importlib.util
import runpy

del sys.argv[0]
if importlib.util.find_spec(sys.argv[0].partition(".")[0]) is None:
    sys.path.insert(0, "")  # as for a kernel that is being developed in this directory
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
