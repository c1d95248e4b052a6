"""Notes which modules IPython's ``%autoreload`` has updated in place, without loading them.

IPython 9 patches the functions of an edited module in place and calls no loader (its
``DeduperReloader``, checked with 9.18), so that nothing but its own method knows of it.
"""

from __future__ import annotations

import sys
from typing import Any

from kernelfleet.wire.objects.loads import Loads, Version, status

_MODULE = "IPython.extensions.deduperreload.deduperreload"
#: IPython keeps when a file was written as a float, and a float of today's seconds is exact to a
#: quarter of a microsecond; of one time in four ``st_mtime_ns / 1e9`` is the float beside it.
_FLOAT_ERROR = 1e-6


class _Watched:
    reloader: Any = None


def watch() -> None:
    """Note what ``%autoreload`` patches from now on; costs nothing until it is loaded."""
    module = sys.modules.get(_MODULE)
    if module is None or _Watched.reloader is module:
        return
    _Watched.reloader = module
    reloader = getattr(module, "DeduperReloader", None)
    usual = getattr(reloader, "maybe_reload_module", None)
    if reloader is None or usual is None or hasattr(usual, "__wrapped__"):
        return

    def maybe_reload_module(self: Any, module: Any) -> Any:
        """Stand in for IPython's method, and note what it has done."""
        version = status(getattr(module, "__file__", ""))  # before the file is read
        done = usual(self, module)
        if done and version is not None:
            Loads.note(module.__name__, version)
        return done

    maybe_reload_module.__wrapped__ = usual  # type: ignore[attr-defined]
    reloader.maybe_reload_module = maybe_reload_module
    _take_what_was_patched()


def _take_what_was_patched() -> None:
    """Note what ``%autoreload`` has patched before it was watched."""
    from IPython import get_ipython

    shell = get_ipython()
    registry = shell.magics_manager.registry if shell is not None else {}
    reloader = getattr(registry.get("AutoreloadMagics"), "_reloader", None)
    for name, mtime in dict(getattr(reloader, "modules_mtimes", {})).items():
        seen = Loads.seen.get(name)
        if seen is None or seen.mtime_ns / 1e9 > mtime - _FLOAT_ERROR:
            continue
        now = status(seen.file)
        failed = getattr(reloader, "failed", {}).get(seen.file) == mtime
        same = now is not None and abs(now.mtime_ns / 1e9 - mtime) < _FLOAT_ERROR
        if now is not None and same and not failed:
            Loads.note(name, Version(seen.file, now.mtime_ns, now.size))
