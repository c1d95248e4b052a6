"""Clusters: what starts a process on each machine, and tells when a machine comes or goes.

Nothing more is asked of a cluster (``base.py``): code, data and results never pass through it.

Where things are::

    what a cluster is        base
    which one is meant       opening
    kinds of clusters        dask  ssh  srun
    what those two share     hosts
    what runs in Dask        dask_worker  dask_scheduler
"""
