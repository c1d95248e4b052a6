"""Notes on errors of the user's code whose cause is the way in which fleets work."""

from __future__ import annotations

import builtins
from typing import Any


def add_hint(error: BaseException | None, namespace: dict[str, Any]) -> None:
    """Add a note to a NameError in a module's function if the name is a variable of the engine.

    Functions of a module see the variables of their module, not those that were pushed.
    """
    name = error.name if isinstance(error, NameError) else None
    at = error.__traceback__ if error is not None else None
    if not name or at is None or name not in namespace or hasattr(builtins, name):
        return
    while at.tb_next is not None:
        at = at.tb_next
    variables = at.tb_frame.f_globals
    if variables is namespace or name in variables:
        return
    module = variables.get("__name__")
    hint = (
        f"{name!r} is a variable of this engine, and a function of the module {module!r} sees the "
        f"variables of its module: use kernelfleet.this_engine().namespace[{name!r}] there, pass "
        f"it as an argument, or let the module travel by value: mec.register_by_value({module!r})"
    )
    assert error is not None
    if hint not in getattr(error, "__notes__", ()):
        error.add_note(hint)
