"""The controller: starts kernels, queues work for them, folds what they say into results.

Runs on one asyncio loop, of a daemon (``kernelfleet start``) or of the loop thread in the user's
process (``Fleet``). It routes the user's objects as opaque frames and never unpickles them.

Where things are::

    a whole fleet      host  daemon  options  limits  logs
    the door           server  strangers  peers  heads
    in between         controller  calls  rows  progress  clients  requests  history
    an engine's work   engine  engine_queue  dialects  links  outputs  replies  interrupting
    its life           roster  launcher  kernelspecs  introduction  bootstrap  revival  blas_threads
    its processes      processes  families  guardian  elsewhere (those of other machines)
"""
