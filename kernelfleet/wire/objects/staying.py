"""Objects that belong to this process, such as clients, and refuse clearly to be pickled.

A function that is sent takes along what it refers to, which may be a client by mistake. Without
this class, pickle's error would name a lock deep inside the client.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn

from kernelfleet.errors.tree import SerializationError


class StaysHere:
    """Refuses to be pickled."""

    #: What to do instead.
    _instead: ClassVar[str]

    def __reduce__(self) -> NoReturn:
        raise SerializationError(
            f"a {type(self).__name__} cannot travel, as it belongs to this process (a function "
            f"takes along what it names as a global or has in its closure): {self._instead}"
        )
