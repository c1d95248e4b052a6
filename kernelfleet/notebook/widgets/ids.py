"""Which comm of which engine is known to the frontend under which id. Pure.

An id is the same on both sides, as a rule: ipywidgets draws it at random. A program that fixes the
id of a comm runs on every engine, however, and a frontend knows no engines. The second comm of one
id gets another one here, and what names it is translated on the way.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Any

from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import with_ids


class Ids:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._local: dict[tuple[int, str], str] = {}
        self._origins: dict[str, tuple[int, str]] = {}
        #: By engine the ids that differ, from there to here and back.
        self._renamed: dict[int, dict[str, str]] = defaultdict(dict)
        self._back: dict[int, dict[str, str]] = defaultdict(dict)

    def find(self, engine: int, comm_id: str) -> str | None:
        """The id here of an engine's comm; None if it is not known."""
        return self._local.get((engine, comm_id))

    def add(self, engine: int, comm_id: str) -> str:
        """The id under which a comm is opened here."""
        known = self.find(engine, comm_id)
        if known is not None:
            return known
        here = comm_id
        if comm_id in self._origins:
            here = uuid.uuid4().hex
            self._renamed[engine][comm_id], self._back[engine][here] = here, comm_id
        self._local[engine, comm_id], self._origins[here] = here, (engine, comm_id)
        return here

    def remove(self, here: str) -> None:
        """A comm was closed."""
        origin = self._origins.pop(here, None)
        if origin is None:
            return
        engine, comm_id = origin
        del self._local[origin]
        self._renamed[engine].pop(comm_id, None)
        self._back[engine].pop(here, None)

    def origin(self, here: str) -> tuple[int, str] | None:
        """The engine, and the id there."""
        return self._origins.get(here)

    def all_of(self) -> list[list[Any]]:
        """Engine and id of each comm."""
        return [list(each) for each in self._local]

    def to_here(self, engine: int, data: JsonDict) -> JsonDict:
        """What an engine says, in the frontend's ids."""
        renamed = self._renamed.get(engine)
        translated: JsonDict = with_ids(data, renamed) if renamed else data
        return translated

    def to_engine(self, engine: int, data: JsonDict) -> JsonDict:
        """What the frontend says, in the engine's ids."""
        back = self._back.get(engine)
        translated: JsonDict = with_ids(data, back) if back else data
        return translated
