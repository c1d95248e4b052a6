"""Asks the controller what engines have worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelfleet.timeline import Span, Timeline

if TYPE_CHECKING:
    from kernelfleet.client.controller_proxy import ControllerProxy

#: How long the controller may take to answer, in seconds; no engine is asked.
ASK_SECONDS = 30.0


def ask_timeline(
    connection: ControllerProxy, *, call: str | None = None, last: float | None = None
) -> Timeline:
    """The spans that the controller has kept, and those that are going on.

    A reply has a bounded number of spans, so that of a long history several are asked for.

    Args:
        connection: Where to ask.
        call: Only spans of this call; then engines that did nothing for it have no lane.
        last: Only what was going on in so many seconds before now; None is everything kept.
    """
    spans: list[Span] = []
    mark = 0
    while True:
        reply = connection.call("timeline", ASK_SECONDS, since=mark, call=call)
        value = reply.header["value"]
        spans += map(Span.from_wire, value["spans"])
        mark = value["mark"]
        if not value["more"]:
            break
    spans += map(Span.from_wire, value["running"])
    if last is not None:
        begin = value["now"] - last
        spans = [span for span in spans if span.completed >= begin]
    return Timeline(spans, value["engines"] if call is None else ())
