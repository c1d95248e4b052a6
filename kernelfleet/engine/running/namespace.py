"""The variables of an engine: the user's, those that functions brought along, and kernelfleet's.

A name is *brought* as long as it holds the object that an arriving function placed there. As soon
as the user binds it, by a push or in a cell, it is the user's own, and no function replaces it.
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import symtable
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from kernelfleet import here

_MODULE_ATTRIBUTES = frozenset(("__doc__", "__package__", "__loader__", "__spec__"))
#: Names that Python and IPython use for themselves; they are never the user's.
_MACHINERY = frozenset(
    ("__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtin__", "__builtins__",
     "__annotations__", "__session__", "__conditional_annotations__")
)  # fmt: skip


#: Stands for an attribute that was not there.
_MISSING = object()


class Namespace:
    """The user's namespace of one shell, which provides the globals of arriving functions."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._brought: dict[str, Any] = {}
        self._identity: dict[str, int] = {"engine_id": -1, "n_engines": 0}
        #: Where the engine is: ``node``, ``local_rank`` and ``local_size``.
        self._place: dict[str, Any] = {}
        self._empty = shell.reset
        # `%reset -f` calls it, too, also from an attached console.
        shell.reset = self._empty_but_for_ours  # type: ignore[method-assign]
        shell.events.register("post_execute", self.keep_identity)

    def namespace(self) -> dict[str, Any]:
        """Return the dict in which cells run."""
        return self._shell.user_ns  # type: ignore[no-any-return]

    def set_identity(self, engine_id: int, n_engines: int, **place: Any) -> None:
        """Give the user's code ``engine_id``, ``n_engines`` and ``this_engine()``.

        It also gets ``node``, ``local_rank`` and ``local_size``, except where the user has
        variables of these names.
        """
        before, self._place = self._place, place or self._place
        self._identity = {"engine_id": engine_id, "n_engines": n_engines}
        user_ns = self._shell.user_ns
        free = {
            name: value
            for name, value in self._place.items()
            if name not in user_ns or (name in before and user_ns[name] is before[name])
        }
        user_ns.update(self._identity, **free)
        self._shell.user_ns_hidden.update(self._identity, **free)
        here.tell(engine_id, n_engines, user_ns, **self._place)

    def push(self, variables: Mapping[str, Any]) -> None:
        """Make the variables the user's own. A dotted name sets an attribute.

        If one of them cannot be set, none is.

        Raises:
            NameError: The variable at the start of a dotted name does not exist.
            AttributeError: An object lacks an attribute on the path, or refuses the new one.
        """
        dotted = [name for name in variables if "." in name]
        if dotted:
            self._set_attributes({name: variables[name] for name in dotted})
            variables = {name: variables[name] for name in variables if "." not in name}
        for name in variables:
            self._brought.pop(name, None)
        self._shell.user_ns.update(variables)

    def _set_attributes(self, values: Mapping[str, Any]) -> None:
        """Set attributes by their paths. If one cannot be set, restore those before it."""
        places = [(self._look_up(path.rpartition(".")[0]), path) for path in values]
        undo: list[Callable[[], None]] = []
        try:
            for owner, path in places:
                name = path.rpartition(".")[2]
                old = _own_value(owner, name)
                setattr(owner, name, values[path])
                undo.append(partial(_put_back, owner, name, old))
        except BaseException:
            for each in reversed(undo):
                each()
            raise

    def pull(self, names: Iterable[str]) -> list[Any]:
        """Return the values of variables, or of attributes for dotted names.

        Raises:
            NameError: A variable does not exist; the text is Python's own.
            AttributeError: An object has no such attribute.
        """
        return [self._look_up(name) for name in names]

    def _look_up(self, name: str) -> Any:
        """Return a variable, or what a dotted name leads to if no variable has that very name."""
        user_ns = self._shell.user_ns
        if name in user_ns:
            return user_ns[name]
        first, *attributes = name.split(".")
        if first not in user_ns:
            raise NameError(f"name {first!r} is not defined", name=first)
        value = user_ns[first]
        for attribute in attributes:
            value = getattr(value, attribute)
        return value

    def keys(self) -> list[str]:
        """Return the names of the user's own variables, oldest first."""
        items = list(
            self._shell.user_ns.items()
        )  # a copy: a peek reads while a command binds names
        return [name for name, value in items if self._is_users(name, value)]

    def _is_users(self, name: str, value: object) -> bool:
        if name in _MACHINERY or self.is_brought(name) or _is_history(name):
            return False
        hidden = self._shell.user_ns_hidden
        return not (name in hidden and hidden[name] is value)

    def reset(self) -> None:
        """Empty the namespace; numbering restarts at 1."""
        self._shell.reset(new_session=True)

    def _empty_but_for_ours(self, *args: Any, **options: Any) -> None:
        """Take the place of the shell's ``reset``, and keep what identifies the engine."""
        self._brought.clear()
        module = {k: v for k, v in self._shell.user_ns.items() if k in _MODULE_ATTRIBUTES}
        try:
            self._empty(*args, **options)
        finally:
            # IPython 9.18 drops them, and without __spec__ multiprocessing cannot spawn processes.
            self._shell.user_ns.update(module)
            self.set_identity(**self._identity)

    def keep_identity(self) -> None:
        """Restore ``engine_id`` and ``n_engines`` if a cell has deleted them."""
        user_ns = self._shell.user_ns
        for name, value in self._identity.items():
            if name not in user_ns:
                user_ns[name] = self._shell.user_ns_hidden[name] = value

    def is_brought(self, name: str) -> bool:
        """Tell whether the name still holds the object that a function brought along."""
        missing = object()
        mine = self._brought.get(name, missing)
        return mine is not missing and self._shell.user_ns.get(name, missing) is mine

    def bring(self, names: dict[str, Any]) -> None:
        """Place what a function refers to, except where the user has a variable of that name."""
        user_ns = self._shell.user_ns
        for name, value in names.items():
            if name not in user_ns or self.is_brought(name):
                user_ns[name] = self._brought[name] = value

    def hide(self, names: dict[str, Any]) -> None:
        """Place names that no listing shows; a reset removes them."""
        self._shell.user_ns.update(names)
        self._shell.user_ns_hidden.update(names)

    def claim(self, cell: str) -> None:
        """Make the brought names that a cell binds at top level the user's own.

        Afterwards it could not be seen that a name was bound to the object that it already held.

        Args:
            cell: Python source, after IPython's transformations.
        """
        names = [name for name in self._brought if name in cell]
        if not names:
            return
        try:
            table = symtable.symtable(cell, "<cell>", "exec")
        except (SyntaxError, ValueError):
            return
        bound = {symbol.get_name() for symbol in table.get_symbols() if _is_bound(symbol)}
        for name in bound.intersection(names):
            del self._brought[name]


def _own_value(owner: object, name: str) -> Any:
    """Return what setting an attribute replaces, which is never an attribute of the class."""
    own = getattr(owner, "__dict__", {})
    if name in own:
        return own[name]
    if hasattr(getattr(type(owner), name, None), "__set__"):  # a slot, or a property
        return getattr(owner, name, _MISSING)
    return _MISSING


def _put_back(owner: object, name: str, old: object) -> None:
    """Undo the setting of an attribute."""
    with suppress(Exception):  # the first error matters more
        if old is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, old)


def _is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported()


def _is_history(name: str) -> bool:
    """Tell whether IPython sets this name: ``_``, ``__``, ``_3``, ``_i``, ``_ii``, ``_i3``..."""
    if not name.startswith("_"):
        return False
    rest = name.lstrip("_")
    if not rest:
        return len(name) <= 3
    if not name.startswith("__") and rest[0] == "i":
        tail = rest.lstrip("i")
        return (not tail and len(rest) <= 3) or (rest[1:].isdigit() and len(rest) > 1)
    return rest.isdigit() and not name.startswith("__")
