"""How fast kernelfleet is, beside others, on one machine: ``python -m benchmarks``.

Not part of the package, and never a test: a figure depends on the machine and its mood, so what
counts are ratios within one run. Each side's client and engines run in a process tree of their
own (``driver.py``), and take turns (``run.py``).
"""
