"""The WebSocket that tells a page what has changed, for as long as the page looks on.

A page says what it wants to hear: ``{"type": "look", "at": "engines"}`` (all of it; this is how it
begins), ``"fleets"`` (no rows of engines) or ``"nothing"``, when its panel is hidden.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web, websocket

from kernelfleet.server.handlers import AUTH_RESOURCE
from kernelfleet.server.services import services_of

if TYPE_CHECKING:
    from kernelfleet.server.shapes import Update

#: A page hears of changes at most twice a second.
PAUSE_SECONDS = 0.5

LOOKS = ("engines", "fleets", "nothing")


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
        self._look("engines")

    def on_message(self, message: str | bytes) -> None:
        """Take what the page wants to hear."""
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            said = json.loads(message)
            if said.get("type") == "look" and said.get("at") in LOOKS:
                self._look(said["at"])

    def on_close(self) -> None:
        """The page is gone."""
        self._stop()
        super().on_close()

    def _look(self, at: str) -> None:
        self._stop()
        if at != "nothing":
            telling = self._tell(with_engines=at == "engines")
            self._telling = asyncio.get_running_loop().create_task(telling)

    def _stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    async def _tell(self, *, with_engines: bool) -> None:
        watching, since = services_of(self.settings).watching, -1
        with watching.looking(), contextlib.suppress(websocket.WebSocketClosedError):
            await watching.refresh()
            while True:
                update = watching.board.update(since, time.time())
                since = watching.board.version
                if update is not None and not with_engines:
                    update = _heads_only(update)
                if update is not None:
                    await self.write_message(json.dumps(update))
                await asyncio.sleep(PAUSE_SECONDS)
                await watching.changed(since)


def _heads_only(update: Update) -> Update | None:
    """An update without rows of engines; None if nothing is left of it."""
    for change in update["fleets"]:
        for key in ("engines", "removed", "spans"):
            change.pop(key, None)  # type: ignore[misc]
    update["fleets"] = [change for change in update["fleets"] if len(change) > 1]
    return update if update["full"] or update["fleets"] or update["gone"] else None


SOCKETS: list[tuple[str, type[WatchSocket]]] = [(r"/kernelfleet/api/watch", WatchSocket)]
