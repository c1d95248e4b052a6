"""The code that makes a Python kernel of any environment answer like an engine.

Sent once, as an ordinary ``execute_request``. It is ``engine/portable.py``, and beside it the
sources of the modules that the kernel's environment may not have: kernelfleet's own, of this very
version, and cloudpickle. Here they are text only: nothing of it is imported, as a controller never
unpickles anything.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import kernelfleet

#: Folders of kernelfleet whose modules an engine may need.
_ROOMS = (".", "errors", "wire", "engine", "joblib")

_CODE = """
def __kernelfleet_bootstrap__(packed, *arguments):
    import sys
    folder = sys.path.index("") if "" in sys.path else None
    if folder is not None:
        del sys.path[folder]  # what lies there is not meant by these imports
    try:
        import base64, json, types, zlib
        texts = json.loads(zlib.decompress(base64.b64decode(packed)))
        module = types.ModuleType("kernelfleet_portable")
        code = compile(texts["kernelfleet.engine.portable"][1], "<kernelfleet>", "exec")
        exec(code, vars(module))
        module.install(*arguments, texts)
    finally:
        if folder is not None:
            sys.path.insert(folder, "")
"""

#: Runs a script in a Python kernel that is not ours; what engine/running/scripts.py does in one
#: that is.
_SCRIPT = """
def __kernelfleet_script__(code, path, argv):
    import linecache, os, sys, warnings
    __tracebackhide__ = True  # in IPython's tracebacks
    namespace, exits = globals(), {"exit": sys.exit, "quit": sys.exit}
    warnings.filterwarnings("ignore", "To exit: use")  # IPython 9.18 on SystemExit
    linecache.cache[path] = len(code), None, code.splitlines(True), path
    folder, argv_before = os.path.dirname(path), sys.argv
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.insert(0, folder)
    before = {name: namespace[name] for name in exits if name in namespace}
    namespace.update(exits, __file__=path)
    sys.argv = argv
    try:
        exec(compile(code, path, "exec", dont_inherit=True), namespace)
    except SystemExit as status:
        if status.code not in (None, 0):
            raise
    finally:
        sys.argv = argv_before
        for name in exits:
            namespace.pop(name, None)
        namespace.update(before)

"""


def script_code(code: str, path: str, argv: Sequence[str]) -> str:
    """The cell that runs a script as ``python path`` would, with its text taken along."""
    return f"{_SCRIPT}__kernelfleet_script__({code!r}, {path!r}, {list(argv)!r})"


def bootstrap_request(engine_id: int, n_engines: int) -> dict[str, Any]:
    """The content of the request that installs our part in one kernel and asks for its facts."""
    arguments = f"{_packed()!r}, {engine_id}, {n_engines}, {kernelfleet.__version__!r}"
    call = f"__kernelfleet_bootstrap__({arguments})\ndel __kernelfleet_bootstrap__\n"
    return {
        "code": _CODE + call,
        "silent": True,
        "store_history": False,
        "user_expressions": expressions("facts", {}),
    }


def expressions(operation: str, content: dict[str, Any], data: list[str] | None = None) -> Any:
    """The ``user_expressions`` of an ``execute_request`` that ask for something."""
    request = json.dumps([operation, content, data or []])
    return {"r": f"__import__('builtins').__kernelfleet__({request!r})"}


@lru_cache(1)
def _packed() -> str:
    """The sources of all modules, as text."""
    texts = {**_texts("kernelfleet", _ROOMS), **_texts("cloudpickle", (".",))}
    return base64.b64encode(zlib.compress(json.dumps(texts).encode(), 9)).decode()


def _texts(package: str, rooms: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Full name -> path within its package, and text; the package is not imported."""
    spec = find_spec(package)
    found: dict[str, tuple[str, str]] = {}
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        for room in rooms:
            pattern = "*.py" if room == "." else "**/*.py"
            for file in sorted(Path(location, room).glob(pattern)):
                path = file.relative_to(location).as_posix()
                parts = [package, *path.removesuffix(".py").split("/")]
                name = ".".join(parts).removesuffix(".__init__")
                found[name] = (path, file.read_text(encoding="utf-8"))
    return found
