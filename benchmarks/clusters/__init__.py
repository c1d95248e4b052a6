"""Benchmarks of fleets on several machines, which are network namespaces of this one.

``python -m benchmarks.clusters`` needs root, as it makes hosts. All of them share this machine's
cores, so bytes and ratios mean more than times.
"""
