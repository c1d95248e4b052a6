"""The controller of a node: its only client is the head, and it ends when the head is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from kernelfleet.controller.clients import Peer
from kernelfleet.controller.controller import Controller
from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.logs import engine_log, last_words
from kernelfleet.controller.requests import Request
from kernelfleet.wire.messages import JsonDict

#: How long a head may take to come: it hears of the node through its cluster.
FIRST_SECONDS = 60.0


class NodeController(Controller):
    """Starts engines under the ids that its head gives, and knows what the head's clients ask."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: What the user adds to the environment of each engine; the head has evaluated it.
        self.added_variables: dict[int, JsonDict] = {}
        #: The number of each running request, by which its output is streamed.
        self._numbers: dict[str, int] = {}
        self._first = asyncio.get_running_loop().call_later(
            FIRST_SECONDS, self.end, f"no head has come within {FIRST_SECONDS:g} s"
        )

    def connect(self, client_id: str, peer: Peer) -> JsonDict:
        """The head has connected, perhaps again."""
        self._first.cancel()
        return super().connect(client_id, peer)

    def disconnect(self, client_id: str) -> None:
        """The head has left, or is gone for too long: a node never serves another one."""
        super().disconnect(client_id)
        self.end("its head is gone")

    def known_engines(self) -> JsonDict:
        """Which engines there are; and of those that are not ours, what they can be asked."""
        portable = {
            str(engine.id): {
                "kernel": engine.kernel_name,
                "language": engine.language,
                "no_functions": engine.info.get("no_functions"),
            }
            for engine in self.registry.engines.values()
            if not engine.native and engine.registered
        }
        return {**super().known_engines(), "portable": portable}

    def tell_of_rank(self, said: JsonDict) -> None:
        """Tell the head what a rank of an MPI world says; at its end, what it has written too."""
        if "ended" in said:
            words = last_words(engine_log(self.registry.logs, said["of"]))
            said = {**said, "words": words}
        self.clients.tell_all({"type": "event", "event": "world", "said": said})

    def end(self, reason: str) -> None:
        """End the node and its engines, and tell the head why, if it is there."""
        self.log.warning("this node ends: %s", reason)
        self.clients.tell_all({"type": "event", "event": "stopping", "reason": reason})
        self.request_stop()

    def _begin(
        self, request: Request, places: Sequence[Engine], client_id: str, header: JsonDict
    ) -> None:
        self._numbers[request.result_id] = header["n"]
        super()._begin(request, places, client_id, header)

    def _finished(self, client_id: str, n: int, header: JsonDict, request: Request) -> None:
        self._numbers.pop(request.result_id, None)
        super()._finished(client_id, n, header, request)

    def follow(self, client_id: str, result_id: str, follower: str) -> bool:
        """Show a follower what a request has put out, and stream its output from now on.

        All of it is told under the number of the request, so that none of it passes another part.

        Returns:
            Whether the request runs here.
        """
        request, n = self.running.get(result_id), self._numbers.get(result_id)
        if request is None or n is None:
            return False
        event = {"type": "event", "to": n, "follower": follower}
        for engine_id, pages in self.outputs_so_far(request):
            shown = {**event, "event": "output", "engine": engine_id}
            self.clients.deliver(client_id, shown, pages)
        self.clients.deliver(client_id, {**event, "event": "followed"}, [])
        if request.on_output is None:
            request.on_output = self.clients.stream_to(client_id, n)
        return True

    async def stop(self) -> None:
        """End the engines with everything they have started."""
        self._first.cancel()
        await super().stop()
