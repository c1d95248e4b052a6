"""Executing a module again without replacing it.

The module, its functions and its classes keep their identity and get the contents of the new source
(``grafts.py``). State that the edit does not concern is kept (``edits.py``).
"""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kernelfleet.engine.modules import edits, grafts

#: The variables that a module has from its import.
_MACHINERY = (
    "__name__", "__loader__", "__spec__", "__file__", "__path__", "__package__", "__cached__",
    "__builtins__",
)  # fmt: skip


def reload_in_place(module: types.ModuleType, source: bytes, before: bytes | None) -> None:
    """Execute a module's new source in its own dict.

    Args:
        module: A module that is loaded.
        source: The new source. It is compiled here, because importlib would accept a ``.pyc`` file
            that was made in the same second from a source of the same size.
        before: The source that was executed last; None if it is not known.

    Raises:
        Exception: What the source raises. The module's variables are then as they were before.
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
    grafts.keep_identities(variables, old, module.__name__)
    _put_submodules_back(module, old)


@contextmanager
def _classes_as_before(variables: dict[str, Any], old: dict[str, Any]) -> Iterator[None]:
    """Make class statements of this module return the old class with the new contents.

    So decorators, registries and instances made while the module is executed see the old class.
    Class statements of other modules are not affected, even if another thread executes one.
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
    """Restore submodules, which importing them has made attributes of their package."""
    for name, was in old.items():
        if name in vars(module) or not isinstance(was, types.ModuleType):
            continue
        if sys.modules.get(f"{module.__name__}.{name}") is was:
            setattr(module, name, was)
