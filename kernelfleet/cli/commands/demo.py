"""``kernelfleet demo``: a session on real input, shown as it runs, in about ten seconds.

It parses sources of the standard library with ``map`` and, if numpy is installed, compares the
eigenvalue spacings of random matrices with Wigner's surmise. Both are done on all engines, and then
on one of them. The comparison is fair: each engine has one BLAS thread in both cases, and it is
measured first how much work takes one engine a few seconds, so that the work dominates.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import time
from collections.abc import Callable
from textwrap import dedent
from typing import Any

from traitlets import Float, Integer, default

from kernelfleet.cli.base import Command, unwind_on_signals
from kernelfleet.cli.exits import EXIT_OK, UsageError
from kernelfleet.wire.platforms import number_of_cores

#: More engines would take longer to start than the demonstration lasts.
MAX_ENGINES = 64
#: With fewer there would not be much of a fleet to see, however few the cores are.
MIN_ENGINES = 4

#: (BLAS takes its threads from the first of its variables; one for all kinds of it is this.)
START = """
from kernelfleet import Fleet
fleet = Fleet(n={n}, env={{'OMP_NUM_THREADS': '1'}})  # each engine computes in one thread
mec = fleet.start()
"""

WHO = """
mec.execute('import os; print("engine", engine_id, "of", n_engines, "is process", os.getpid())',
            targets=slice(0, 2))
"""

FILES = """
import random, sysconfig
from pathlib import Path
stdlib = Path(sysconfig.get_path('stdlib'))
files = [str(path) for path in stdlib.rglob('*.py')
         if not {'test', 'tests', 'lib2to3', 'site-packages'} & {*path.relative_to(stdlib).parts}]
len(files)
"""

COUNT = """
def count_syntax(file):
    import ast, collections, pathlib
    tree = ast.parse(pathlib.Path(file).read_bytes())
    return collections.Counter(type(node).__name__ for node in ast.walk(tree))
"""

MERGE = """
from collections import Counter
sum(counts, Counter()).most_common(5)
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
gaps = mec.gather('gaps')
measured, edges = np.histogram(gaps, bins=8, range=(0, 3), density=True)
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

    n = Integer(1, min=1, help="How many engines (one a core, at least 4).").tag(config=True)
    seconds = Float(2.0, min=0, help="How long each job is to take one engine (2.0).").tag(
        config=True
    )
    aliases = {("n", "engines"): "Demo.n", **Command.aliases}

    @default("n")
    def _engines(self) -> int:
        """One for each core, and four where there are fewer: a fleet is to be seen."""
        return min(MAX_ENGINES, max(MIN_ENGINES, number_of_cores()))

    def work(self) -> int:
        """Show the session; its fleet has ended when this returns or raises."""
        if self.extra_args:
            raise UsageError(f"demo takes no argument {self.extra_args[0]!r}")
        unwind_on_signals()
        busy = others_are_at_work()
        session = Session()
        try:
            session.enter(START.format(n=self.n))
            session.enter(WHO)
            count_syntax(session, self.n, self.seconds, busy=busy)
            if importlib.util.find_spec("numpy"):
                eigenvalue_spacings(session, self.n, self.seconds, busy=busy)
            else:
                print("# numpy is not installed: no eigenvalues of random matrices this time\n")
        finally:
            if "fleet" in session.namespace:
                session.enter("fleet.stop()")
        print(IN_A_NOTEBOOK)
        return EXIT_OK


def count_syntax(session: Session, n: int, seconds: float, *, busy: bool) -> None:
    """Map a function over files on all engines, and then on one of them."""
    print("# What the standard library's sources are made of: a map, balanced over the engines\n")
    session.enter(FILES)
    session.enter(COUNT)
    files, mec = session.namespace["files"], session.namespace["mec"]
    few = files[:: max(1, len(files) // 24)]
    each = timed(lambda: mec.map(session.namespace["count_syntax"], few, targets=0)) / len(few)
    count = as_many_as_take(seconds, each, at_most=len(files))
    session.enter(f"files = random.Random(0).sample(files, {count})  # for {seconds:g} s of work")
    engines = session.enter("counts = mec.map(count_syntax, files)")
    session.enter(MERGE)
    alone = session.enter("counts == mec.map(count_syntax, files, targets=0)  # one engine alone")
    print(verdict(engines, alone, n, number_of_cores(), busy=busy))


def eigenvalue_spacings(session: Session, n: int, seconds: float, *, busy: bool) -> None:
    """Diagonalise random matrices on all engines, and then as many on one of them."""
    print("# Distances between eigenvalues of random matrices: measured, and Wigner's surmise\n")
    session.enter(SPACINGS)
    session.enter("mec.push_function({'spacings': spacings});")
    mec = session.namespace["mec"]
    mec.execute("spacings(20, 0);")  # the first time loads numpy, everywhere
    each = timed(lambda: mec.execute("spacings(50, 0);", targets=0)) / 50
    share = -(-as_many_as_take(seconds, each) // n)
    engines = session.enter(f"mec.execute('gaps = spacings({share}, seed=engine_id)');")
    session.enter(HISTOGRAM)
    whole = f"whole = [spacings({share}, seed) for seed in range({n})]"
    alone = session.enter(f"mec.execute('{whole}', targets=0);  # one engine alone")
    session.enter("bool(np.all(gaps == np.concatenate(mec.pull('whole', targets=0)[0])))")
    print(verdict(engines, alone, n, number_of_cores(), busy=busy))


def timed(call: Callable[[], object]) -> float:
    """How many seconds a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def as_many_as_take(seconds: float, each: float, at_most: int = 10**6) -> int:
    """How many pieces of work take so many seconds, if one of them takes ``each`` seconds."""
    return max(1, min(at_most, round(seconds / max(each, 1e-6))))


def others_are_at_work() -> bool:
    """Whether other programs keep half of the cores busy, so that the times mean little."""
    try:
        return os.getloadavg()[0] > number_of_cores() / 2
    except (AttributeError, OSError):  # (Windows, or a system that hides /proc)
        return False


def verdict(engines: float, alone: float, n: int, cores: int, *, busy: bool = False) -> str:
    """A sentence that compares the two times, and says what this machine can do."""
    times = f"{alone / engines:.1f} times as fast"
    here = f"on {cores} core{'' if cores == 1 else 's'}"
    if cores == 1:
        here += ", where there is nothing to gain"
    elif n > cores:
        here += f", of which {n} engines cannot make more"
    if busy:
        here += "; but other programs are at work here"
    many = f"{n} engine{'' if n == 1 else 's'}"
    return f"# {many}: {engines:.2f} s, one alone: {alone:.2f} s; {times}, {here}\n"


class Session:
    """An interpreter that shows its input before it runs it, as IPython does."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.number = 0
        self._say = say or (lambda text: print(text, flush=True))

    def enter(self, source: str) -> float:
        """Show code, run it and show its value; returns the seconds that it took."""
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
    """Code as a terminal session shows it."""
    prompt = f"In [{number}]: "
    return prompt + source.replace("\n", "\n" + "...: ".rjust(len(prompt)))


def evaluate(source: str, namespace: dict[str, Any]) -> Any:
    """Run code, and return the value of its last expression.

    Returns:
        The value; None if the code ends with a statement, or with a semicolon as in IPython.
    """
    module = ast.parse(source)
    silent = source.partition("#")[0].rstrip().endswith(";")
    last = module.body.pop() if isinstance(module.body[-1], ast.Expr) and not silent else None
    exec(compile(module, "<demo>", "exec"), namespace)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "<demo>", "eval"), namespace)  # noqa: S307
