"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import data, machine, peers, report, rows, run

RESULTS = Path(__file__).resolve().parent / "results"
ROOT = RESULTS.parent.parent


def main() -> None:
    """Measure what was asked for, and report."""
    options = _options()
    _let_engines_import_us()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or engines would be left behind
    chosen = [rows.named(name) for name in options.rows.split(",") if name]
    sides = options.sides.split(",")
    noise = machine.noise()
    for each in noise:
        _say(f"not quiet: {each}")
    rounds = options.rounds or (3 if options.quick else 7)
    began = time.perf_counter()
    table: run.Table = {}
    fleets = [row for row in chosen if row in rows.OF_FLEETS]
    on_four = [row for row in chosen if row not in rows.OF_FLEETS]
    if fleets:
        table |= run.of_fleets(fleets, sides, 2 if options.quick else rounds, _say)
    if on_four:
        table |= run.on_four(on_four, sides, rounds, _say)
    noise += [f"afterwards {each}" for each in machine.noise()[-1:] if "work" in each]
    if chosen:
        notes = _notes(noise, time.perf_counter() - began, rounds)
        text = report.markdown(chosen, table, sides, machine.facts(), notes)
        sys.stdout.write(text)
        if options.save:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / "table.md").write_text(text, encoding="utf-8")
    if options.plots:
        _draw(1 if options.quick else 3, options.quick)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    everything = ",".join(rows.names())
    parser.add_argument(
        "--rows", default=everything, help="comma-separated names, or none at all; %(default)s"
    )
    parser.add_argument(
        "--sides", default=",".join(peers.SIDES), help="%(default)s; also: daemon,tcp"
    )
    parser.add_argument("--rounds", type=int, help="medians are of so many (7)")
    parser.add_argument("--quick", action="store_true", help="3 rounds")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/table.md")
    parser.add_argument("--plots", action="store_true", help="write the plots there as well")
    return parser.parse_args()


def _let_engines_import_us() -> None:
    """Engines of every side find ``benchmarks.functions`` wherever they run."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def _notes(noise: Sequence[str], seconds: float, rounds: int) -> str:
    quiet = "The machine was quiet." if not noise else f"**Not quiet**: {'; '.join(noise)}."
    return (
        f"{quiet} Medians of up to {rounds} rounds in which the sides take turns, [least..most] of "
        f"the rounds' medians; in parentheses kernelfleet's figure divided by the side's; CPU is "
        f"the processor time of client and engines per call. {seconds:.0f} s in all."
    )


def _draw(rounds: int, quick: bool) -> None:
    from benchmarks import plots

    RESULTS.mkdir(exist_ok=True)
    sizes = [size for size in data.PLOT_SIZES if size <= 10_000_000 or not quick]
    push = run.curves_of_push(rounds, sizes, _say)
    plots.draw(push, RESULTS / "push.png", x="bytes pushed to 4 engines", y="seconds")
    engines = [n for n in run.PLOT_ENGINES if n <= 8 or not quick]
    start, latency = run.curves_of_fleets(rounds, engines, _say)
    plots.draw(start, RESULTS / "start.png", x="engines", y="seconds until all are ready")
    plots.draw(latency, RESULTS / "execute.png", x="engines", y="ms of execute('a=5') on all")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
