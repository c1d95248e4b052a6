"""Modules that the environment of another kernel lacks, imported from sources that were sent along.

Like ``portable.py``, which loads it, this file is sent to the kernel as text and is written for
Python 3.8 on; it imports nothing but the standard library.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
import types
from typing import Any, Dict, Tuple  # noqa: UP035

#: By full name: whether it is a package, the name of its file, and its text.
Sources = Dict[str, Tuple[bool, str, str]]  # noqa: UP006 (evaluated, in an old Python too)


class Shipped(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules from sources in memory."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find a module that was shipped."""
        del path, target
        if name not in self._sources:
            return None
        is_package, file, _ = self._sources[name]
        return importlib.util.spec_from_loader(name, self, origin=file, is_package=is_package)

    def create_module(self, spec: Any) -> None:
        """Leave it to Python."""
        del spec

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module's text."""
        _, file, text = self._sources[module.__name__]
        module.__file__ = file
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, name: str) -> str:
        """What tracebacks show."""
        return self._sources[name][2]


def provide(version: str, sources: Sources) -> None:
    """See to it that kernelfleet of this version, and cloudpickle, can be imported."""
    lacking = []
    try:
        found = getattr(importlib.import_module("kernelfleet"), "__version__", None)
    except ImportError:
        found = None
    if found != version:
        lacking.append("kernelfleet")
        _forget("kernelfleet")
    try:
        importlib.import_module("cloudpickle")
    except ImportError:
        lacking.append("cloudpickle")
    chosen = {name: each for name, each in sources.items() if name.split(".")[0] in lacking}
    if chosen:
        sys.meta_path.insert(0, Shipped(chosen))


def take_back() -> None:
    """Undo ``provide``: what was provided does not run here."""
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, Shipped)]
    _forget("kernelfleet")


def _forget(package: str) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == package]:
        del sys.modules[name]
