"""``kernelfleet demo``: a session with four engines on real input, typed out as it runs.

Counts the words of the standard library's sources and, where numpy is installed, compares the
eigenvalue spacings of random matrices with Wigner's surmise; both against the same work in this
one process.
"""

from __future__ import annotations

import ast
import importlib.util
import time
from collections.abc import Callable
from textwrap import dedent
from typing import Any

from traitlets import Integer

from kernelfleet.cli.base import Command, unwind_on_signals
from kernelfleet.cli.exits import EXIT_OK, UsageError

START = "from kernelfleet import Fleet; fleet = Fleet(n={n}); mec = fleet.start()"

FILES = """
import random, sysconfig
from pathlib import Path
stdlib = Path(sysconfig.get_path('stdlib'))
files = [str(path) for path in stdlib.rglob('*.py') if 'site-packages' not in path.parts]
random.Random(0).shuffle(files)  # so that every engine gets large and small ones
megabytes = sum(len(Path(file).read_bytes()) for file in files) / 1e6
print(len(files), 'files,', round(megabytes), 'MB')
"""

COUNT_WORDS = """
def count_words(files):
    import re
    from collections import Counter
    words = Counter()
    for file in files:
        with open(file, encoding='utf-8', errors='replace') as source:
            words.update(re.findall('[A-Za-z]{4,}', source.read()))
    return words
"""

MERGE = """
from collections import Counter
total = Counter()
for words in mec.gather('words'):
    total.update(words)
total.most_common(5)
"""

SPACINGS = """
def spacings(matrices, seed, size=100):
    import numpy as np
    random, found = np.random.default_rng(seed), []
    for _ in range(matrices):
        a = random.standard_normal((size, size))
        gaps = np.diff(np.linalg.eigvalsh(a + a.T))[size // 4 : -size // 4]
        found.append(gaps / gaps.mean())
    return np.concatenate(found)
"""

HISTOGRAM = """
import numpy as np
measured, edges = np.histogram(mec.gather('gaps'), bins=8, range=(0, 3), density=True)
for s, m in zip((edges[:-1] + edges[1:]) / 2, measured):
    wigner = np.pi / 2 * s * np.exp(-np.pi / 4 * s * s)
    print(f'{s:5.2f} {m:6.3f} {wigner:6.3f}', '#' * round(60 * m))
"""

IN_A_NOTEBOOK = """
The same in a notebook:

    from kernelfleet import Fleet
    mec = Fleet(n=4).start()
    mec.execute('print(engine_id, n_engines)')

Or start a fleet that outlives notebooks with `kernelfleet start -n 4`, and in a notebook say

    from kernelfleet import MultiEngineClient
    mec = MultiEngineClient()
"""


class Demo(Command):
    """``kernelfleet demo``."""

    name = "kernelfleet-demo"
    usage = "kernelfleet demo [-n N]"
    description = "See a fleet work on real input, in about ten seconds."

    n = Integer(4, min=1, help="How many engines (4).").tag(config=True)
    matrices = Integer(4000, min=1, help="How many random matrices (4000).").tag(config=True)
    aliases = {("n", "engines"): "Demo.n", **Command.aliases}

    def work(self) -> int:
        """Type the session out; the fleet is gone when this returns or raises."""
        if self.extra_args:
            raise UsageError(f"demo takes no argument {self.extra_args[0]!r}")
        unwind_on_signals()
        session = Session()
        try:
            session.enter(START.format(n=self.n))
            count_words(session)
            if importlib.util.find_spec("numpy"):
                eigenvalue_spacings(session, self.n, self.matrices)
            else:
                print("# numpy is not installed: no eigenvalues of random matrices this time\n")
        finally:
            if "fleet" in session.namespace:
                session.enter("fleet.stop()")
        print(IN_A_NOTEBOOK)
        return EXIT_OK


def count_words(session: Session) -> None:
    """Scatter the files, count on the engines, gather and merge; then the same in this process."""
    print("# The words of the standard library's sources: scatter, execute, gather, merge\n")
    session.enter("mec.get_ids()")
    session.enter(FILES)
    session.enter(COUNT_WORDS)
    session.enter("mec.push_function({'count_words': count_words})")
    engines = session.enter("mec.scatter('files', files)")
    engines += session.enter("mec.execute('words = count_words(files); print(words.total())')")
    engines += session.enter(MERGE)
    print("# the same in one process\n")
    alone = session.enter("total == count_words(files)")
    print(verdict(engines, alone))


def eigenvalue_spacings(session: Session, n: int, matrices: int) -> None:
    """Let every engine diagonalise its share of random matrices; then the same in this process."""
    print("# Distances between eigenvalues of random matrices: measured, and Wigner's surmise\n")
    session.enter(SPACINGS)
    session.enter("mec.push_function({'spacings': spacings})")
    share = max(1, matrices // n)
    engines = session.enter(f"mec.execute('gaps = spacings({share}, seed=engine_id)')")
    engines += session.enter(HISTOGRAM)
    print("# the same in one process\n")
    alone = session.enter(f"gaps = [spacings({share}, seed) for seed in range({n})]")
    print(verdict(engines, alone))


def verdict(engines: float, alone: float) -> str:
    """How the two times compare, without promising anything."""
    return f"# engines: {engines:.1f} s, one process: {alone:.1f} s ({alone / engines:.1f} times)\n"


class Session:
    """An interpreter whose input is typed out before it runs, in IPython's manner."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.number = 0
        self._say = say or (lambda text: print(text, flush=True))

    def enter(self, source: str) -> float:
        """Show the code, run it, show what it is worth; returns the seconds that it took."""
        source = dedent(source).strip()
        self.number += 1
        self._say(show_input(source, self.number))
        began = time.perf_counter()
        value = evaluate(source, self.namespace)
        seconds = time.perf_counter() - began
        if value is not None:
            text = repr(value)
            self._say(f"Out[{self.number}]:{chr(10) if chr(10) in text else ' '}{text.rstrip()}")
        self._say(f"# {seconds:.2f} s\n" if seconds >= 0.05 else "")
        return seconds


def show_input(source: str, number: int) -> str:
    """The code as it stands in a terminal session."""
    prompt = f"In [{number}]: "
    return prompt + source.replace("\n", "\n" + "...: ".rjust(len(prompt)))


def evaluate(source: str, namespace: dict[str, Any]) -> Any:
    """Run the code; returns the value of its last expression, None if it ends otherwise."""
    module = ast.parse(source)
    last = module.body.pop() if isinstance(module.body[-1], ast.Expr) else None
    exec(compile(module, "<demo>", "exec"), namespace)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "<demo>", "eval"), namespace)  # noqa: S307
