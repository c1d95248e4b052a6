"""How an engine runs the user's code, and what it says about errors in it.

Where things are::

    cells and scripts       execution  transformation  scripts  history
    calls of functions      calls  batches
    the user's variables    namespace  preloaded
    interrupts              interrupts  whereabouts
    asyncio                 asyncio_run
    errors                  tracebacks  hints
"""
