"""Fleets on many nodes whose engines are the ranks of one job, and what such a job needs.

Where things are::

    torch, JAX                ranks
    MPI                       world  worlds
"""
