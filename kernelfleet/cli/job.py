"""What ``kernelfleet run`` is to run: a script, a module, standard input, or code; and how.

Everything that can be wrong with it here is found before a fleet is started.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelfleet.cli.exits import UsageError
from kernelfleet.client import access
from kernelfleet.client.source import check_source, read_script

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.results.pending import PendingResult

#: The name of a script that comes from standard input, in its tracebacks.
STDIN = "<stdin>"

#: What code given with -c, and modules, need of a Python kernel.
_AS_PYTHON = """
import sys, warnings
exit = quit = sys.exit  # these would end the kernel instead of the code
warnings.filterwarnings('ignore', 'To exit: use')  # IPython 9 on SystemExit
sys.argv = {argv!r}
""".strip()

_FIND_MODULE = """
import importlib.util, os
def __kernelfleet_find__(name):
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        sys.exit(f'{name}: {error}')
    if spec is None:
        sys.exit(f'there is no module named {name}')
    if spec.submodule_search_locations is not None:
        return __kernelfleet_find__(f'{name}.__main__')
    return spec
sys.path.insert(0, os.getcwd())
__spec__ = __kernelfleet_find__(MODULE)
__package__, __file__ = __spec__.parent, __spec__.origin
sys.argv[0] = __file__
__kernelfleet_code__ = __spec__.loader.get_code(__spec__.name)
""".strip()

_RUN_MODULE = """
try:
    exec(__kernelfleet_code__)
except SystemExit as status:
    if status.code not in (None, 0):  # exit() and exit(0) are success
        raise
""".strip()

#: Frames of a traceback in which one of these stands are ours, not the user's.
OUR_FRAMES = ("exec(__kernelfleet_code__)", "__kernelfleet_script__(", "__kernelfleet_find__(")


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        argv: What it finds in ``sys.argv``; the first is a script's path, ``-`` for standard
            input, ``-c`` or ``-m``.
        code: What followed ``-c``.
        module: What followed ``-m``.
    """

    argv: tuple[str, ...]
    code: str | None = None
    module: str | None = None


def split_argv(argv: list[str], with_value: set[str]) -> tuple[list[str], Job | None]:
    """Cut the command line behind our own options.

    Args:
        argv: What follows ``run``.
        with_value: Our options that take the next argument as their value, as in ``-n 4``.
    """
    i = 0
    while i < len(argv):
        option = argv[i]
        if option in ("-c", "-m"):
            if i + 1 == len(argv):
                raise UsageError(f"{option} needs {'code' if option == '-c' else 'a module'}")
            what = {"code" if option == "-c" else "module": argv[i + 1]}
            return argv[:i], Job((option, *argv[i + 2 :]), **what)
        if option == "--":
            return argv[:i], Job(tuple(argv[i + 1 :])) if argv[i + 1 :] else None
        if option == "-" or not option.startswith("-"):
            return argv[:i], Job(tuple(argv[i:]))
        i += 2 if option in with_value or (option.startswith("--") and _sets_trait(option)) else 1
    return argv, None


def _sets_trait(option: str) -> bool:
    """``--Run.n 4``, but not ``--Run.n=4``."""
    return "." in option and "=" not in option


Start = Callable[["MultiEngineClient", Callable[..., None]], "PendingResult[Any]"]


def prepare(job: Job, *, python: bool) -> Start:
    """What starts the job on all engines, called with a client and ``on_output``.

    Args:
        job: What to run.
        python: Whether the engines speak Python.

    Raises:
        UsageError: it cannot be read, is no code, or other languages have no such thing.
    """
    if job.module is not None:
        if not python:
            raise UsageError("-m is for Python: these kernels speak another language")
        return _module(job)
    if job.code is not None:
        return _code(job, python=python)
    name = job.argv[0]
    try:
        return _script(job, python=python)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from None
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise UsageError(f"{name}{line}: SyntaxError: {error.msg}") from None


def _script(job: Job, *, python: bool) -> Start:
    name = job.argv[0]
    if name == "-":
        code, path = sys.stdin.read(), STDIN
        if python:
            check_source(code, path)
    elif python:
        code, path = read_script(Path(name)), str(Path(name).resolve())
    else:
        code, path = Path(name).read_text(encoding="utf-8"), name

    def start(mec: MultiEngineClient, on_output: Callable[..., None]) -> Any:
        if not python:
            return mec.execute(code, block=False, on_output=on_output)
        return access.start_script(mec, code, path, job.argv, on_output)

    return start


def _code(job: Job, *, python: bool) -> Start:
    def start(mec: MultiEngineClient, on_output: Callable[..., None]) -> Any:
        if python:  # a cell of its own, so that the lines of CODE count from 1
            mec.execute(_AS_PYTHON.format(argv=list(job.argv)))
        return mec.execute(job.code or "", block=False, on_output=on_output)

    return start


def _module(job: Job) -> Start:
    find = _FIND_MODULE.replace("MODULE", repr(job.module))

    def start(mec: MultiEngineClient, on_output: Callable[..., None]) -> Any:
        mec.execute(f"{_AS_PYTHON.format(argv=list(job.argv))}\n{find}")
        return mec.execute(_RUN_MODULE, block=False, on_output=on_output)

    return start
