"""What the handlers of one server share. Nothing of it does anything before somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from typing import Any

from kernelfleet.server.fleets import Fleets
from kernelfleet.server.starting import Starts
from kernelfleet.server.watching import Watching

#: Under which name the server's settings have them.
SETTING = "kernelfleet_services"


class Services:
    """The fleets, those that are being started, and who looks on."""

    def __init__(self, log: Logger) -> None:
        self.fleets = Fleets()
        self.starts = Starts()
        self.watching = Watching(self.fleets, self.starts, log)

    async def close(self) -> None:
        """End every task, client and thread."""
        await self.watching.close()
        await self.starts.close()
        await self.fleets.close()


def services_of(settings: Mapping[str, Any]) -> Services:
    """The services of the server with these settings."""
    services: Services = settings[SETTING]
    return services
