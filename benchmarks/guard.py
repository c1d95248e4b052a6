"""Whether kernelfleet has become slower: its processor time, as a multiple of the floor's.

``python -m benchmarks.guard`` measures some rows on both sides in turns and fails if a ratio is
worse by more than a fifth than the one that is stored; ``--store`` stores what it measures. Ratios
of processor time depend on the machine and on other work far less than any time does; what still
looks worse gets further rounds before it counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from benchmarks.driver import Driver
from benchmarks.rows import named
from benchmarks.run import drivers

STORED = Path(__file__).resolve().parent / "results" / "ratios.json"
OURS, FLOOR = "kernelfleet", "floor"
ROWS = ("execute-1", "execute-4", "apply-4")
ROUNDS, CALLS = 15, 60
#: How much worse a ratio may be than the stored one.
WORSE = 1.2
ATTEMPTS = 6


def main() -> int:
    """Measure, then store or compare; the exit code is 1 if something has become slower."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--store", action="store_true", help="store the ratios that are measured")
    options = parser.parse_args()
    with drivers((OURS, FLOOR), 4, lambda _: None) as sides:
        ratios = {name: _ratio(name, sides) for name in ROWS}
        if options.store:
            STORED.write_text(json.dumps(ratios, indent=1) + "\n", encoding="utf-8")
            return 0
        stored = json.loads(STORED.read_text(encoding="utf-8"))
        for name in ROWS:
            for _ in range(ATTEMPTS - 1):
                if ratios[name] <= WORSE * stored[name]:
                    break
                ratios[name] = min(ratios[name], _ratio(name, sides))
    slower = [name for name in ROWS if ratios[name] > WORSE * stored[name]]
    for name in ROWS:
        mark = "  SLOWER" if name in slower else ""
        sys.stdout.write(
            f"{name:12} {ratios[name]:6.2f} x floor, stored {stored[name]:.2f}{mark}\n"
        )
    return bool(slower)


def _ratio(name: str, sides: dict[str, Driver]) -> float:
    """The median of the rounds' ratios; the sides take turns in going first."""
    row, found = named(name), []
    for round_ in range(ROUNDS):
        order = (OURS, FLOOR) if round_ % 2 else (FLOOR, OURS)
        measured = {side: sides[side].measure(row, CALLS) for side in order}
        ours, floor = measured[OURS], measured[FLOOR]
        assert ours is not None
        assert floor is not None
        found.append(ours.cpu_seconds / floor.cpu_seconds)
    return round(statistics.median(found), 2)


if __name__ == "__main__":
    sys.exit(main())
