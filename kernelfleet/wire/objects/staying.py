"""What cannot travel to an engine, as it belongs to this process: said in its own words.

A function that is sent takes along what it refers to, and a client is easily among that. Pickle
would name a lock deep inside.
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
