"""The engine's process: an IPython kernel that also answers the fleet's requests.

Where things are::

    the kernel                      app  kernel  shell_channel  requests  packing  values  __main__
    what engines share              prebuilt
    for Jupyter's own clients       jupyter_kernel
    the user's code                 running
    the client's modules            modules
    what it publishes               output
    beside the work                 peek  debugging
    as a rank of MPI                mpi
    its end                         shutdown
    where its parts are found       own_libraries
    in kernels that are not ours    portable  provided
"""
