"""Change one thing in a pure module, run its own test file, and see whether the test notices.

``python -m tests.mutations`` takes a sample of all mutants for ten minutes; see ``--help``. It
works on a copy of the package in a temporary folder. What survives is either a test that is missing
or a change that makes no difference: reading it is the work.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.mutations.mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "kernelfleet"

#: The modules that decide and do no input or output; each has a test file of its own.
MODULES = (
    "controller/engines/queue.py",
    "controller/history.py",
    "controller/engines/outputs.py",
    "controller/door/validation.py",
    "wire/fields.py",
    "controller/lifecycle/restart_policy.py",
    "client/mapping/schedule.py",
    "client/partition/blocks.py",
    "client/mapping/batches.py",
    "client/targets.py",
    "wire/sequence.py",
    "wire/codec.py",
    "wire/json_safe.py",
    "errors/composite.py",
    "results.py",
)
#: Test files that are not named for their module.
TESTS = {"errors/composite.py": "errors/test_tree.py"}

#: Imported once, before the tests of each mutant run in a fork of this process.
COMMON_IMPORTS = ("pytest", "hypothesis.stateful", "numpy", "zmq", "IPython", "jupyter_client",
                  "cloudpickle", "psutil")  # fmt: skip
#: A mutant may loop for ever: that is noticed as well.
LONGEST_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pass; returns 0, or 2 where the tests of the unchanged module fail."""
    options = _parser().parse_args(arguments)
    mutants_of = _mutators()
    chosen = [
        (module, mutant)
        for module in MODULES
        if not options.modules or any(each in module for each in options.modules)
        for mutant in mutants_of((PACKAGE / module).read_text("utf-8"))
    ]
    random.Random(options.seed).shuffle(chosen)
    chosen = chosen[: options.count]
    print(f"seed {options.seed}: {len(chosen)} mutants, for {options.seconds:.0f} s at most")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the copy is removed
    counts: dict[str, list[int]] = {}
    with _copy_of_the_tree() as tree:
        for module in sorted({module for module, _ in chosen}):
            if not _tests_pass(tree, module):
                print(f"the tests of {module} fail without any change")
                return 2
        end = time.monotonic() + options.seconds
        for module, mutant in chosen:
            if time.monotonic() > end:
                break
            path = tree / "kernelfleet" / module
            original = path.read_text("utf-8")
            path.write_text(mutant.source, "utf-8")
            survived = _tests_pass(tree, module)
            path.write_text(original, "utf-8")
            counts.setdefault(module, [0, 0])[survived] += 1
            if survived:
                print(f"survived: {module}:{mutant.line} `{_short(mutant.before)}` "
                      f"=> `{_short(mutant.after)}`", flush=True)  # fmt: skip
    _summarize(counts)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.mutations", description=__doc__)
    parser.add_argument("modules", nargs="*", help="parts of the paths of modules; default: all")
    parser.add_argument("--seconds", type=float, default=600.0, help="stop after this time")
    parser.add_argument("--count", type=int, default=None, help="so many mutants at most")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the sample")
    return parser


def _mutators() -> Callable[[str], Iterator[Mutant]]:
    """Import what makes mutants, and what the forks share."""
    from tests.mutations.mutants import mutants

    # The forks must find the tests of the copy, and this process the imports that they share.
    for name in [each for each in sys.modules if each.partition(".")[0] == "tests"]:
        del sys.modules[name]
    for name in COMMON_IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return mutants


@contextlib.contextmanager
def _copy_of_the_tree() -> Iterator[Path]:
    tree = Path(tempfile.mkdtemp(prefix="kf-mutations-"))
    try:
        ignore = shutil.ignore_patterns("__pycache__")
        for name in ("kernelfleet", "tests"):
            shutil.copytree(ROOT / name, tree / name, ignore=ignore)
        shutil.copy(ROOT / "pyproject.toml", tree)
        yield tree
    finally:
        shutil.rmtree(tree)


def _test_file(module: str) -> str:
    path = Path(module)
    return "tests/" + TESTS.get(module, str(path.with_name(f"test_{path.name}")))


def _tests_pass(tree: Path, module: str) -> bool:
    """Run the module's test file in a fork; False also if it does not end."""
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            atexit._clear()  # what this process has registered is for this process
            code = _run_tests(tree, _test_file(module))
            atexit._run_exitfuncs()  # the tests have Jupyter directories of their own
        finally:
            os._exit(code)
    try:
        end = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < end:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                pid = 0
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.01)
        return False
    finally:
        if pid:  # too slow, or we are told to end
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _run_tests(tree: Path, test_file: str) -> int:
    import pytest

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(tree)
    sys.path[:] = [str(tree), *(each for each in sys.path if each not in ("", str(ROOT)))]
    sys.dont_write_bytecode = True  # a source may change twice in one second
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "--assert=plain"]
    return int(pytest.main([*options, "--hypothesis-profile=mutations", test_file]))


def _short(text: str) -> str:
    first, _, rest = text.partition("\n")
    return first if not rest else f"{first} ..."


def _summarize(counts: dict[str, list[int]]) -> None:
    for module, (killed, survived) in sorted(counts.items()):
        print(f"{module:40} killed {killed:4}  survived {survived:4}")
    killed, survived = (sum(each[i] for each in counts.values()) for i in (0, 1))
    print(f"{'all':40} killed {killed:4}  survived {survived:4}")


if __name__ == "__main__":
    sys.exit(main())
