"""What engines have worked on, and when: the spans that ``mec.timeline()`` returns.

These are plain values, as those of ``results.py``. ``display/`` draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from typing import Any, Self, SupportsIndex, overload


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of work of one engine: a command, a batch of a map, a task of an executor.

    Attributes:
        engine: The id of the engine.
        call: The id of the call that it belongs to: the ``result_id`` of a command, and for all
            batches of one map, or all tasks of one executor, the same id.
        what: The call in short, as ``queue_status`` shows it: ``execute('f()')``, ``map(f) x40``
            for a batch of 40 items.
        operation: What was asked: ``execute``, ``push``, ``apply``, ``map``, ``task``, ...
        started: When it began, in seconds since the epoch, by the clock of the controller.
        seconds: How long it took, or for what runs how long it has taken so far.
        waited: How long it had waited in the queue of the engine before.
        outcome: One word: ``ok``, ``error``, ``interrupted``, ``lost`` (its engine died or was
            restarted), or ``running``.
        error: The name of the exception that it raised; empty if it raised none. An error of an
            item of a map is not that of its batch.

    Example:
        >>> span = Span(0, "a1-1", "execute('f()')", "execute", started=100.0, seconds=0.5)
        >>> span.completed, span.outcome
        (100.5, 'ok')
    """

    engine: int
    call: str
    what: str
    operation: str
    started: float
    seconds: float
    waited: float = 0.0
    outcome: str = "ok"
    error: str = ""

    @property
    def completed(self) -> float:
        """When it ended, in seconds since the epoch; for what runs the time of the question."""
        return self.started + self.seconds

    @classmethod
    def from_wire(cls, row: Mapping[str, Any]) -> Self:
        """A span from a row of the controller's reply; fields of newer versions are left out."""
        return cls(**{each.name: row[each.name] for each in fields(cls) if each.name in row})


class Timeline(list[Span]):
    """The spans of a fleet or of a call, in the order in which they began.

    It is a list. In a notebook it shows as a picture with a lane for each engine, which a saved
    notebook keeps, and elsewhere as text.

    Args:
        spans: The spans.
        engines: The ids of the engines that have a lane, also those that did nothing. Engines with
            spans have one anyway.

    Example:
        >>> work = Span(0, "a1-1", "execute('f()')", "execute", started=100.0, seconds=0.5)
        >>> timeline = Timeline([work], engines=[0, 1])
        >>> [span.what for span in timeline if span.engine == 0]
        ["execute('f()')"]
        >>> timeline.busy()
        {0: 0.5, 1: 0.0}
    """

    def __init__(self, spans: Iterable[Span] = (), engines: Iterable[int] = ()) -> None:
        super().__init__(sorted(spans, key=lambda span: (span.started, span.engine)))
        self.engines = sorted({*engines, *(span.engine for span in self)})

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Span: ...
    @overload
    def __getitem__(self, index: slice, /) -> Timeline: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Span | Timeline:
        """The span at an index, or a Timeline of those in a slice."""
        if isinstance(index, slice):
            return Timeline(super().__getitem__(index), self.engines)
        return super().__getitem__(index)

    def busy(self) -> dict[int, float]:
        """How many seconds each engine has worked, by its id."""
        seconds = dict.fromkeys(self.engines, 0.0)
        for span in self:
            seconds[span.engine] += span.seconds
        return seconds

    def to_pandas(self) -> Any:
        """The spans as a ``pandas.DataFrame`` with a column for each attribute of a span.

        ``started`` and ``completed`` are timestamps in UTC.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            pd = import_module("pandas")
        except ImportError as error:
            raise ImportError(
                "Timeline.to_pandas needs pandas, which is not installed (pip install pandas); a "
                "Timeline is a list of spans, and dataclasses.asdict makes a dict of a span"
            ) from error
        columns = [*(each.name for each in fields(Span)), "completed"]
        rows = [{**asdict(span), "completed": span.completed} for span in self]
        frame = pd.DataFrame(rows, columns=columns)
        for name in ("started", "completed"):
            frame[name] = pd.to_datetime(frame[name].astype("float64"), unit="s", utc=True)
        return frame

    def to_svg(self) -> str:
        """The picture as the text of an SVG file."""
        from kernelfleet.display import timeline

        return timeline.svg(self, self.engines)

    def __repr__(self) -> str:
        from kernelfleet.display import timeline

        return timeline.text(self, self.engines)

    def _repr_html_(self) -> str:
        from kernelfleet.display import timeline

        return timeline.html(self, self.engines)
