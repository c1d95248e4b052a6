"""Reading variables of an engine while it is busy, in a thread, one request at a time.

The handler of the control message returns at once. If it waited, it would hold ipykernel's lock
of the control channel, and an interrupt that arrives meanwhile would be delayed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kernelfleet.engine.requests import Answer, Request, error_answer
from kernelfleet.engine.running.namespace import Namespace
from kernelfleet.engine.running.whereabouts import whereabouts
from kernelfleet.errors.tree import SerializationError
from kernelfleet.wire.objects.serialize import (
    pack,
    pack_namespace,
    total_bytes,
)


class Peeker:
    """Answers peeks of one engine."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._busy = threading.Lock()

    def start(self, request: Request, send: Callable[[Answer], object]) -> None:
        """Read the variables in a thread, which calls ``send`` with the answer."""
        if not self._busy.acquire(blocking=False):
            error = RuntimeError("this engine is already answering another peek; try again")
            send(error_answer(error, kind="busy"))
            return

        def work() -> None:
            try:
                answer = self._look(request)
            finally:
                self._busy.release()
            send(answer)

        threading.Thread(target=work, name="Peek", daemon=True).start()

    def _look(self, request: Request) -> Answer:
        if request.content.get("where"):
            return Answer({"status": "ok", "where": whereabouts()}, [])
        if request.content.get("keys"):
            return Answer({"status": "ok", "keys": self._namespace.keys()}, [])
        names = request.content["names"]
        limit = request.content.get("limit_bytes")
        try:
            values = self._namespace.pull(names)
            try:
                frames = pack(values)
            except SerializationError:
                pack_namespace(dict(zip(names, values, strict=True)))
                raise
            size = total_bytes(frames)
            if limit is not None and size > limit:
                message = f"{', '.join(names)}: {size} bytes are more than the limit of {limit}"
                return error_answer(ValueError(message), kind="limit")
            return Answer({"status": "ok"}, frames)
        except SerializationError as error:
            return error_answer(error, kind="serialization")
        except BaseException as error:  # noqa: BLE001 - goes to the asker
            return error_answer(error)
