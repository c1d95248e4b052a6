"""The WebSocket that tells a page what has changed, for as long as the page looks on.

A page says what it wants to hear: ``{"type": "look", "at": "engines"}`` (all of it; this is how it
begins), ``"fleets"`` (no rows of engines) or ``"nothing"``, when its panel is hidden; with
``"timeline": ["NAME"]`` also what the engines of a fleet have worked on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web, websocket

from kernelfleet.server.handlers import AUTH_RESOURCE
from kernelfleet.server.services import services_of
from kernelfleet.server.view import View, view_of

#: A page hears of changes at most twice a second.
PAUSE_SECONDS = 0.5


class WatchSocket(WebSocketMixin, websocket.WebSocketHandler, JupyterHandler):
    """One page that looks on."""

    auth_resource = AUTH_RESOURCE

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[mutable-override]
        """Open the socket, for users who may see fleets."""
        may = self.authorizer.is_authorized(self, self.current_user, "read", AUTH_RESOURCE)
        if not await ensure_async(may):
            raise web.HTTPError(403)
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:  # type: ignore[mutable-override]
        """Begin to send."""
        super().open(*args, **kwargs)
        self._telling: asyncio.Task[None] | None = None
        self._look(View())

    def on_message(self, message: str | bytes) -> None:
        """Take what the page wants to hear."""
        try:
            view = view_of(json.loads(message))
        except ValueError as error:
            self.log.debug("kernelfleet: %s", error)
        else:
            self._look(view)

    def on_close(self) -> None:
        """The page is gone."""
        self._stop()
        super().on_close()

    def _look(self, view: View | None) -> None:
        self._stop()
        if view is not None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(view))

    def _stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    async def _tell(self, view: View) -> None:
        watching = services_of(self.settings).watching
        with watching.looking(view), contextlib.suppress(websocket.WebSocketClosedError):
            await watching.refresh()
            while True:
                version = watching.version
                update = watching.news(view, time.time())
                if update is not None:
                    await self.write_message(json.dumps(update))
                await asyncio.sleep(PAUSE_SECONDS)
                await watching.changed(version)


SOCKETS: list[tuple[str, type[WatchSocket]]] = [(r"/kernelfleet/api/watch", WatchSocket)]
