"""A fleet as a kernel: what a front end takes for one kernel runs every cell on all engines.

The process is an IPython kernel in which the magics are loaded, a fleet is started, and every cell
goes to its engines, as after ``%fleet cells``. So completion, ``input()``, interrupts and the
display of errors are those of a notebook that uses a fleet. The fleet ends with the process,
however that ends. ``kernelfleet install-kernel`` writes the kernelspec
(``cli/fleet_kernelspec.py``).
"""
