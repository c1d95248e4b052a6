"""MPI worlds: kernels that are the ranks of one run of ``mpiexec`` or ``srun``.

::

    controller                        mpiexec
      World  <---- Unix socket ---->    rank.py, one per rank, which stays as the parent of
      MpiProvisioner, one per rank        the kernel, which is the rank

``command`` decides what is run, ``launcher`` runs it, ``rank`` is what the launcher starts,
``ranks`` knows those of this machine, ``world`` has launcher and ranks on one machine, ``part`` the
ranks of one node of a cluster, ``provisioner`` is jupyter_client's view of one rank, ``verdict``
finds out why a world has ended.
"""
