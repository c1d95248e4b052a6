"""The verbs of ``MultiEngineClient``: each module is one part of it, and stands on ``client.base``.

Every verb with ``targets`` and ``block`` has overloads, so that an editor and a type checker know
what a call returns: the value with ``block=True``, a ``PendingResult`` of it with ``block=False``.
Where ``block`` is left to the client the type is the value's or Any, because a client whose
``block`` is False returns PendingResults.
"""
