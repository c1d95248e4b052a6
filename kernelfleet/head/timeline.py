"""What engines of all nodes have worked on, by the clock of the head."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kernelfleet.head.node import Node
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.replies import SpanRow
from kernelfleet.wire.messages.requests import TimelineRequest

if TYPE_CHECKING:
    from kernelfleet.controller.base import Answer
    from kernelfleet.head.head import Head

#: The newest spans that an answer has at most.
MOST_SPANS = 20_000


async def timeline(head: Head, _client: str, header: TimelineRequest) -> Answer:
    """What engines have worked on, and what they work on now; busy engines need not be asked."""
    call, since = header.get("call"), header.get("since", 0)
    told = await head.ask_all(lambda node: _spans_of(node, call))
    spans = in_order([row for rows, _ in told for row in rows])
    value: JsonDict = {
        "spans": [span for span in spans if span["number"] > since][-MOST_SPANS:],
        "running": [row for _, rows in told for row in rows],
        "engines": sorted(head.registry.engines),
        "mark": len(spans),
        "more": False,
        "now": time.time(),
        "instance": head.instance_id,
    }
    return {"value": value}, []


async def _spans_of(node: Node, call: str | None) -> tuple[list[SpanRow], list[SpanRow]]:
    """What has ended on a node, and what is going on there."""
    ended: list[SpanRow] = []
    mark, more = 0, True
    running: list[SpanRow] = []
    while more:
        reply, _ = await node.ask("timeline", since=mark, call=call)
        value = reply["value"]
        ended += by_our_clock(value["spans"], time.time() - value["now"])
        running = by_our_clock(value["running"], time.time() - value["now"])
        mark, more = value["mark"], value["more"]
    return ended, running


def by_our_clock(rows: list[SpanRow], ahead: float) -> list[SpanRow]:
    """The spans of a node, whose clock is behind ours by so many seconds."""
    for row in rows:
        row["started"] += ahead
    return rows


def in_order(rows: list[SpanRow]) -> list[SpanRow]:
    """Spans of several nodes in the order in which they ended, numbered afresh."""
    rows.sort(key=lambda row: row["started"] + row["seconds"])
    return [{**row, "number": number} for number, row in enumerate(rows, 1)]
