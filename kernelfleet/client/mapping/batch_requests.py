"""Batches as requests: what an engine is asked to call, and with which function.

The function of a call travels once to each engine, with the first batch; later ones name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kernelfleet.client.mapping.batches import Batch, Item
from kernelfleet.client.mapping.options import Call
from kernelfleet.client.mapping.packing import nested_packing, packing
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects import pythons
from kernelfleet.wire.objects.culprits import called
from kernelfleet.wire.objects.serialize import (
    EngineFunction,
    pack,
    pack_nested,
    total_bytes,
)

if TYPE_CHECKING:
    from kernelfleet.client.controller_proxy import ControllerProxy


_RUN_BATCH = EngineFunction("kernelfleet.engine.running.batches", "run_batch")


class BatchRequests:
    """The requests of one call.

    Args:
        connection: Where they go.
        engines: Those that are to call the function.
        call: What is done with each item.
    """

    def __init__(self, connection: ControllerProxy, engines: Sequence[int], call: Call) -> None:
        self._connection, self._call = connection, call
        function = call.function
        self._function_frames = pack_nested(
            function,
            pieces=lambda: [(called(function), function)],
            **nested_packing(connection, engines),
        )
        #: Names the whole call: to the engines its function, to the controller its batches.
        self.call_id = connection.next_result_id()
        #: The engines that have the function, or will have it before the next batch.
        self._knowing: set[int] = set()

    def batch(self, engine: int, items: list[Item]) -> Batch:
        """A batch for an engine."""
        with_function = engine not in self._knowing
        self._knowing.add(engine)
        return Batch(engine, items, self._connection.next_result_id(), 0, with_function)

    def not_sent(self, batch: Batch) -> None:
        """The batch stays here; if it had the function, so does that."""
        if batch.with_function:
            self._knowing.discard(batch.engine)

    def forget(self, engine: int) -> None:
        """The engine does not have the function any more."""
        self._knowing.discard(engine)

    def encode(self, batch: Batch) -> tuple[JsonDict, list[Any]]:
        """The header and the frames of a batch's request.

        Raises:
            SerializationError: one of its items cannot be pickled.
            UnsupportedOperation: one holds code, and the engine runs another Python.
        """
        how = packing(self._connection, [batch.engine])
        function = self._function_frames if batch.with_function else None
        payloads = [item.payload for item in batch.items]
        asker = pythons.VERSION if how["other_pythons"] else None
        options = (self._call.star, self._call.budget, self._call.stop_on_error)
        arguments = (self.call_id, function, payloads, *options, asker)
        frames = pack((_RUN_BATCH, arguments, {}), **how)
        batch.size_bytes = total_bytes(frames)
        header = {
            "type": "request",
            "operation": self._call.verb,
            "targets": [batch.engine],
            "result_id": batch.result_id,
            "payloads": [len(frames)],
            "call": self.call_id,
            "label": f"{self._label(batch.items)} x{len(batch.items)}",
            "keep": False,  # nobody will ask for a batch by its id
            "limit": batch.items[0].timeout,
        }
        if self._call.on_output is not None:
            header["stream"] = True
        return header, list(frames)

    def _label(self, items: list[Item]) -> str:
        """What ``queue_status`` shows: tasks have names of their own."""
        name = items[0].name
        if not name:
            return self._call.label
        others = any(item.name != name for item in items)
        return f"{self._call.label}({name}{', ...' if others else ''})"
