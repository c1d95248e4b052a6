"""The table, in Markdown: figures, ratios, goals, and what limits each row."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.row import Row
from benchmarks.run import Figures, Table

OURS = "kernelfleet"


def markdown(
    rows: Sequence[Row], table: Table, sides: Sequence[str], facts: Sequence[str], notes: str
) -> str:
    """The whole report."""
    others = [side for side in sides if side != OURS]
    titles = ["work", OURS, *others, "goal", "what limits it now"]
    lines = [*(f"- {fact}" for fact in facts), "", notes, ""]
    lines += [_cells(titles), _cells(["---"] * len(titles))]
    for row in rows:
        results = table.get(row.name, {})
        if results:
            lines.append(_cells(_line(row, results, others)))
    return "\n".join(lines) + "\n"


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _line(row: Row, results: dict[str, Figures], others: Sequence[str]) -> list[str]:
    ours = results.get(OURS)
    cells = [row.title, "" if ours is None else _figure(row, ours)]
    for side in others:
        theirs = results.get(side)
        if theirs is None:
            cells.append("")
        elif ours is None:
            cells.append(_figure(row, theirs))
        else:
            cells.append(f"{_figure(row, theirs)} ({_ratio(row, ours, theirs):.2g}x)")
    return [*cells, _verdict(row, results), row.limit]


def _ratio(row: Row, ours: Figures, theirs: Figures) -> float:
    """Ours to theirs: of times, memory or rates; whatever a row's unit is."""
    return ours.median / theirs.median if theirs.median else float("inf")


def _figure(row: Row, figures: Figures) -> str:
    text = _number(figures.median)
    if len(figures.per_round) > 1:
        text += f" [{_number(min(figures.per_round))}..{_number(max(figures.per_round))}]"
    cpu = "" if figures.cpu is None or row.unit != "ms" else f", CPU {figures.cpu * 1e3:.1f}"
    return f"{text}{cpu} {row.unit}".strip()


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _verdict(row: Row, results: dict[str, Figures]) -> str:
    """Each goal, and whether it is met."""
    ours = results.get(OURS)
    verdicts = []
    for side, goal in row.goals.items():
        sign = ">=" if row.more_is_better else "<="
        reached: float | None = None
        if side == "":
            text = f"{sign} {_number(goal)} {row.unit}".strip()
            reached = None if ours is None else ours.median
        else:
            text = f"{sign} {goal:g}x {side}"
            if ours is not None and side in results:
                reached = _ratio(row, ours, results[side])
        if reached is None:
            verdicts.append(text)
        else:
            met = reached >= goal if row.more_is_better else reached <= goal
            verdicts.append(f"{text}: {'met' if met else '**missed**'}")
    return ", ".join(verdicts)
