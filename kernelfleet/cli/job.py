"""What ``kernelfleet run`` runs: a script, a module, standard input or code.

All mistakes that can be found on this side are found before a fleet is started.
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

#: In tracebacks, a script that was read from standard input has this name.
STDIN = "<stdin>"

#: Run first, so that code of ``-c`` and modules behave as with ``python``.
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

#: A frame of a traceback that has one of these texts is kernelfleet's, not the user's.
OUR_FRAMES = ("exec(__kernelfleet_code__)", "__kernelfleet_script__(", "__kernelfleet_find__(")


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        argv: The ``sys.argv`` of the code. The first element is the path of a script, ``-`` for
            standard input, ``-c`` or ``-m``.
        code: The code after ``-c``; None if there is none.
        module: The name of the module after ``-m``; None if there is none.
    """

    argv: tuple[str, ...]
    code: str | None = None
    module: str | None = None


def split_argv(argv: list[str], with_value: set[str]) -> tuple[list[str], Job | None]:
    """Split the command line into kernelfleet's own options and the job.

    Args:
        argv: The arguments after ``run``.
        with_value: The options whose value is the next argument, as in ``-n 4``.

    Returns:
        The options, and the job; None if there is no job on the command line.

    Raises:
        UsageError: ``-c`` or ``-m`` stands last.
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
    """Whether an option sets a setting with the next argument: ``--Run.n 4``."""
    return "." in option and "=" not in option


Start = Callable[["MultiEngineClient", Callable[..., None]], "PendingResult[Any]"]


def prepare(job: Job, *, python: bool) -> Start:
    """A function that starts a job on all engines.

    Args:
        job: What to run.
        python: Whether the engines run Python.

    Returns:
        A function of a client and ``on_output``, which returns the PendingResult of the job.

    Raises:
        UsageError: The script cannot be read or does not compile, or the engines' language has no
            modules that could be run.
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
        if python:  # (a cell of its own, so that the lines of the code are counted from 1)
            mec.execute(_AS_PYTHON.format(argv=list(job.argv)))
        return mec.execute(job.code or "", block=False, on_output=on_output)

    return start


def _module(job: Job) -> Start:
    find = _FIND_MODULE.replace("MODULE", repr(job.module))

    def start(mec: MultiEngineClient, on_output: Callable[..., None]) -> Any:
        mec.execute(f"{_AS_PYTHON.format(argv=list(job.argv))}\n{find}")
        return mec.execute(_RUN_MODULE, block=False, on_output=on_output)

    return start
