"""A module that only this process can load."""

from __future__ import annotations

import types
from importlib.machinery import ModuleSpec
from typing import Any


class Ghosts:
    """A finder and loader of the module ``kf_ghost``, which no other process has.

    Args:
        code: What the module has.
    """

    def __init__(self, code: str) -> None:
        self._code = code

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        return ModuleSpec(name, self) if name == "kf_ghost" else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self._code, vars(module))
