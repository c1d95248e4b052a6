"""What each client can import, as it said last: requests refer to it by a name."""

from __future__ import annotations

from dataclasses import dataclass

from kernelfleet.controller.door.validation import BadRequest
from kernelfleet.wire.messages import JsonDict


@dataclass(frozen=True, slots=True)
class Imports:
    """What a client can import: a text for engines, and the name by which requests refer to it."""

    name: str
    text: str


class ToldImports:
    """By client; a running request keeps the text that it was sent with."""

    def __init__(self) -> None:
        self._of: dict[str, Imports] = {}

    def __len__(self) -> int:
        return len(self._of)

    def learn(self, client_id: str, header: JsonDict) -> None:
        """Keep what a request's header tells; a client tells it once, and names it then."""
        if "imports_text" in header:
            self._of[client_id] = Imports(header.get("imports", ""), header.pop("imports_text"))

    def forget(self, client_id: str) -> None:
        """The client has left."""
        self._of.pop(client_id, None)

    def named_by(self, client_id: str, header: JsonDict) -> Imports | None:
        """What a request names; None if it names nothing.

        Raises:
            BadRequest: the client has not told it.
        """
        name, known = header.get("imports"), self._of.get(client_id)
        if name is None:
            return None
        if known is None or known.name != name:
            text = "the controller has not been told what this client can import: call again"
            raise BadRequest(text)
        return known
