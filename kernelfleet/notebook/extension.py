"""``%load_ext kernelfleet`` and ``mec.activate()``: magics and completion are put into a shell.

The ``ShellState`` of a shell is made when the extension is loaded or a client is activated. Neither
prints anything.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import weakref
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kernelfleet.notebook import (
    autopx,
    completion,
    failures,
    fleet_magic,
    long_results,
    magics,
)
from kernelfleet.notebook.shell_state import ShellState

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient

_states: weakref.WeakKeyDictionary[Any, ShellState] = weakref.WeakKeyDictionary()


def state_of(shell: Any) -> ShellState:
    """The state of a shell; the magics are registered when it is made."""
    state = _states.get(shell)
    if state is None:
        state = _states[shell] = ShellState(shell)
        shell.configurables.append(state.settings)
        failures.install(shell)
        long_results.install(shell)
        completion.install(state)
        fleet_magic.register(state)
        autopx.install(state)
        _register(state, "")
    return state


def _register(state: ShellState, suffix: str) -> None:
    if suffix not in state.suffixes:
        state.suffixes.add(suffix)
        magics.register(state, suffix)


def load(shell: Any) -> None:
    """Load the extension: ``%load_ext kernelfleet``."""
    state_of(shell)
    _register_joblib()


#: The module of joblib that knows its backends, and ours, which adds one.
_JOBLIB, _OURS = "joblib.parallel", "kernelfleet.joblib"


def _register_joblib() -> None:
    """Add our backend to joblib: now if it has been imported, else as soon as it is."""
    if _JOBLIB in sys.modules:
        importlib.import_module(_OURS)
    elif not any(isinstance(finder, _JoblibFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _JoblibFinder())


class _JoblibFinder(MetaPathFinder):
    """Finds joblib as others do, and adds our backend when it has been loaded."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """The spec of joblib's module, whose loader adds our backend; None of any other."""
        if fullname != _JOBLIB:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_add(module: ModuleType) -> None:
            load(module)
            importlib.import_module(_OURS)

        spec.loader.exec_module = load_and_add  # type: ignore[method-assign]
        return spec


def unload(shell: Any) -> None:
    """Unload the extension: ``%unload_ext kernelfleet``.

    The magics and the completion are removed. Fleets and clients stay.
    """
    state = _states.pop(shell, None)
    if state is None:
        return
    if state.autopx is not None:
        autopx.disable(state)
    completion.remove(state)
    autopx.remove(state)
    names = [fleet_magic.NAME]
    names += [name + suffix for name in magics.NAMES for suffix in state.suffixes]
    for kind in shell.magics_manager.magics.values():
        for name in names:
            kind.pop(name, None)
    shell.configurables.remove(state.settings)


def activate(shell: Any, client: MultiEngineClient, suffix: str = "") -> None:
    """Have the magics with a suffix serve a client.

    Args:
        shell: The shell that has the magics.
        client: The client.
        suffix: The suffix: with ``gpu`` the magics are called ``%pxgpu`` and so on.

    Raises:
        ValueError: The suffix cannot be part of the name of a magic.
    """
    if suffix and not f"px{suffix}".isidentifier():
        raise ValueError(f"a suffix is letters, digits and underscores, not {suffix!r}")
    state = state_of(shell)
    _register(state, suffix)
    state.clients[suffix] = client
