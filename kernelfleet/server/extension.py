"""The application that Jupyter Server loads: its handlers, and what they share."""

from __future__ import annotations

from jupyter_server.extension.application import ExtensionApp

from kernelfleet.server.services import SETTING, Services


class KernelFleetExtension(ExtensionApp):
    """Fleets in Jupyter Server."""

    name = "kernelfleet"

    def initialize_settings(self) -> None:
        """Make what the handlers share."""
        self.settings[SETTING] = self.services = Services(self.log)

    def initialize_handlers(self) -> None:
        """Add the handlers; Jupyter Server puts ``base_url`` before their paths."""
        from kernelfleet.server.handlers import HANDLERS
        from kernelfleet.server.metrics import METRICS, FleetCollector
        from kernelfleet.server.web_socket import SOCKETS

        self.handlers.extend([*HANDLERS, *SOCKETS, *METRICS])
        self._collector = FleetCollector(self.services.watching)
        self._collector.register()

    async def stop_extension(self) -> None:
        """End every client and thread with the server; engines are no kernels of it any more."""
        from kernelfleet.server.opening import sweep_server

        if self.serverapp is not None:
            sweep_server(self.serverapp.kernel_manager, everything=True)
        self._collector.unregister()
        await self.services.close()
