"""The value of ``%fleet status``: a table of the engines, as text and as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelfleet.client import access
from kernelfleet.display import html

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient


class Status:
    """The engines of a client's fleet, as they were when this object was made."""

    def __init__(self, client: MultiEngineClient) -> None:
        self._engines = client.engines(cpu=True)
        self._name = access.fleet_name(client)
        self._defaults = f"targets={client.targets}, block={client.block}"

    def __repr__(self) -> str:
        return repr(self._engines)

    def _repr_html_(self) -> str:
        return html.fleet(self._name, self._engines, self._defaults)
