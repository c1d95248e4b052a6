"""What engines have worked on, and when."""

from __future__ import annotations

from kernelfleet.client.base import BaseClient
from kernelfleet.client.results.timelines import ask_timeline
from kernelfleet.client.targets import check_timeout
from kernelfleet.timeline import Timeline


class TimelineVerbs(BaseClient):
    """What engines have worked on; see ``MultiEngineClient``. No engine is waited for."""

    def timeline(self, last: float | None = None) -> Timeline:
        """What each engine has worked on and when, whoever asked for it.

        The controller keeps the last spans of each engine (``Limits.span_count``); what is going on
        is among them. Work that other front ends have sent straight to an engine is not.
        ``PendingResult.timeline`` has the spans of one call.

        Args:
            last: Only what was going on in the last so many seconds; None is everything kept.

        Returns:
            A list of ``Span`` that shows as a picture: a lane for each engine of the fleet.

        Raises:
            ControllerUnreachable: the controller does not answer.
            TypeError: ``last`` is no number of seconds.

        Example:
            >>> _ = mec.execute("a = 5", targets=[0, 1])
            >>> [(span.engine, span.what, span.outcome) for span in mec.timeline()[-2:]]
            [(0, "execute('a = 5')", 'ok'), (1, "execute('a = 5')", 'ok')]
        """
        return ask_timeline(self._connection, last=check_timeout(last, "last"))
