"""The plots: start and latency against the number of engines, push against size."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from benchmarks.run import Curves

mpl.use("Agg")  # before pyplot: no display is needed
from matplotlib import pyplot as plt


def draw(curves: Curves, path: Path, *, x: str, y: str) -> None:
    """One plot, both axes logarithmic."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for side, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=side)
    axes.set(xlabel=x, ylabel=y, xscale="log", yscale="log")
    if x == "engines":
        engines = sorted({point[0] for points in curves.values() for point in points})
        axes.set_xticks(engines, [f"{n:g}" for n in engines], minor=False)
        axes.minorticks_off()
    axes.grid(which="major", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
