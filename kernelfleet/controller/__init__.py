"""The controller: starts kernels, queues work for them, folds what they say into results.

Runs on one asyncio loop, of a daemon (``kernelfleet start``) or of the loop thread in the user's
process (``Fleet``). It routes the user's objects as opaque frames and never unpickles them.
"""
