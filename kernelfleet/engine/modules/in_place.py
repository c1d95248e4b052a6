"""Executing a module again without replacing it.

The module, its functions and its classes stay the objects they are; what its source says now is
put into them (``grafts.py``), and state that the edit has not touched is kept (``edits.py``).
"""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kernelfleet.engine.modules import edits, grafts

#: What a module has from its import.
_MACHINERY = (
    "__name__", "__loader__", "__spec__", "__file__", "__path__", "__package__", "__cached__",
    "__builtins__",
)  # fmt: skip


def reload_in_place(module: types.ModuleType, source: bytes, before: bytes | None) -> None:
    """Execute a module's new source in its own dict.

    Args:
        module: Loaded.
        source: The new source. It is compiled here: a ``.pyc`` of the same second and size would
            be taken for it.
        before: The source that was executed last; None if that is not known.

    Raises:
        Exception: what the source raises; the module's variables are then as they were.
    """
    file = getattr(module, "__file__", None) or f"<{module.__name__}>"
    code = compile(source, file, "exec", dont_inherit=True)
    part = edits.what_changed(before, source, module) if before is not None else None
    variables, old = vars(module), dict(vars(module))
    if part is None:
        kept = {name: variables[name] for name in _MACHINERY if name in variables}
        variables.clear()
        variables.update(kept)
    else:
        for name in part.gone:
            variables.pop(name, None)
        module.__doc__ = edits.docstring(source)
    try:
        with _classes_as_before(variables, old):
            exec(compile(part.tree, file, "exec", dont_inherit=True) if part else code, variables)
    except BaseException:
        variables.clear()
        variables.update(old)
        raise
    if part is not None:
        grafts.renew_lines(code, module)
    grafts.settle(variables, old, module.__name__)
    _put_submodules_back(module, old)


@contextmanager
def _classes_as_before(variables: dict[str, Any], old: dict[str, Any]) -> Iterator[None]:
    """Let class statements of this module give the class that there was, with its new contents.

    So decorators, registries and instances made while the module is executed have the old class.
    Class statements of other modules, in other threads, are not touched.
    """
    usual = builtins.__build_class__

    def build_class(body: Any, name: str, *bases: Any, **options: Any) -> Any:
        built = usual(body, name, *bases, **options)
        if getattr(body, "__globals__", None) is variables and isinstance(built, type):
            return grafts.as_before(built, old)
        return built

    builtins.__build_class__ = build_class  # type: ignore[assignment]
    try:
        yield
    finally:
        builtins.__build_class__ = usual


def _put_submodules_back(module: types.ModuleType, old: dict[str, Any]) -> None:
    """Submodules are attributes of their package, which no statement of it need bind."""
    for name, was in old.items():
        if name in vars(module) or not isinstance(was, types.ModuleType):
            continue
        if sys.modules.get(f"{module.__name__}.{name}") is was:
            setattr(module, name, was)
