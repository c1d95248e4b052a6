"""The engine's process: an IPython kernel that also answers the fleet's requests.

Where things are::

    the kernel         app  kernel  requests  packing  preload  __main__
    running code       execution  scripts  calls  mapping  namespace
    how it ends        asyncio_run  interrupts  tracebacks  hints
    the client's code  imports  shipped  current  in_place  edits  grafts
    what it says       iopub  output_limit  outflow  output_log  network_threads  bars
    beside the work    values  peek  debugging  history
    its end            departure
    where its parts are found   own_libraries
    in kernels that are not ours   portable
"""
