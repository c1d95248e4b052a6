"""The engine's variables: what the user put there, what calls brought along, what is ours.

A name is *brought* while it still holds the very object that a function placed there; as soon
as the user binds it (push, a cell), it is the user's own and nothing replaces it any more.
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
#: Where Python and IPython keep their own things; never the user's names.
_MACHINERY = frozenset(
    ("__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtin__", "__builtins__",
     "__annotations__", "__session__", "__conditional_annotations__")
)  # fmt: skip


#: Stands for an attribute that was not there.
_MISSING = object()


class Namespace:
    """The user's namespace of one shell. Also the provider of functions' globals."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._brought: dict[str, Any] = {}
        self._identity = {"engine_id": -1, "n_engines": 0}
        self._empty = shell.reset
        # `%reset -f` calls it, too, and what an attached console does.
        shell.reset = self._empty_but_for_ours  # type: ignore[method-assign]
        shell.events.register("post_execute", self.keep_identity)

    def namespace(self) -> dict[str, Any]:
        """Return the dict in which cells run."""
        return self._shell.user_ns  # type: ignore[no-any-return]

    def set_identity(self, engine_id: int, n_engines: int) -> None:
        """Tell the user's code which engine this is."""
        self._identity = {"engine_id": engine_id, "n_engines": n_engines}
        self._shell.user_ns.update(self._identity)
        self._shell.user_ns_hidden.update(self._identity)
        here.tell(engine_id, n_engines, self._shell.user_ns)

    def push(self, variables: Mapping[str, Any]) -> None:
        """Make the variables the user's own; a dotted name sets an attribute. All or nothing.

        Raises:
            NameError: the object of a dotted name is not there.
            AttributeError: it has not, or does not take, such an attribute.
        """
        dotted = [name for name in variables if "." in name]
        if dotted:
            self._set_attributes({name: variables[name] for name in dotted})
            variables = {name: variables[name] for name in variables if "." not in name}
        for name in variables:
            self._brought.pop(name, None)
        self._shell.user_ns.update(variables)

    def _set_attributes(self, values: Mapping[str, Any]) -> None:
        """Set attributes by their paths; where one cannot be set, those before it are put back."""
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
        """Look the names up, all or nothing.

        Raises:
            NameError: in Python's own words.
            AttributeError: an object has no such attribute, for a dotted name.
        """
        return [self._look_up(name) for name in names]

    def _look_up(self, name: str) -> Any:
        """A variable's value, or what a dotted name reaches; a variable of that very name wins."""
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
        """Return the names the user put here, in the order in which they came."""
        items = list(self._shell.user_ns.items())  # a peek looks while a command binds names
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
        """Stand in for the shell's ``reset``: an engine knows afterwards who it is."""
        self._brought.clear()
        module = {k: v for k, v in self._shell.user_ns.items() if k in _MODULE_ATTRIBUTES}
        try:
            self._empty(*args, **options)
        finally:
            # IPython 9.18 forgets them, and without __spec__ multiprocessing cannot spawn.
            self._shell.user_ns.update(module)
            self.set_identity(**self._identity)

    def keep_identity(self) -> None:
        """Put back what a cell has deleted of it (``%reset_selective``, ``del``)."""
        user_ns = self._shell.user_ns
        for name, value in self._identity.items():
            if name not in user_ns:
                user_ns[name] = self._shell.user_ns_hidden[name] = value

    def is_brought(self, name: str) -> bool:
        """Whether the name still holds what a call brought along."""
        missing = object()
        mine = self._brought.get(name, missing)
        return mine is not missing and self._shell.user_ns.get(name, missing) is mine

    def bring(self, names: dict[str, Any]) -> None:
        """Place what a function refers to, except where the user has a value of his own."""
        user_ns = self._shell.user_ns
        for name, value in names.items():
            if name not in user_ns or self.is_brought(name):
                user_ns[name] = self._brought[name] = value

    def hide(self, names: dict[str, Any]) -> None:
        """Place what nobody is to see, until a reset."""
        self._shell.user_ns.update(names)
        self._shell.user_ns_hidden.update(names)

    def claim(self, cell: str) -> None:
        """Make the brought names that a cell binds at top level the user's own.

        Needed because binding a name to the very object it holds cannot be seen afterwards.

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
    """What setting an attribute would replace: not what a class gives to all its instances."""
    own = getattr(owner, "__dict__", {})
    if name in own:
        return own[name]
    if hasattr(getattr(type(owner), name, None), "__set__"):  # a slot, or a property
        return getattr(owner, name, _MISSING)
    return _MISSING


def _put_back(owner: object, name: str, old: object) -> None:
    """Undo the setting of an attribute."""
    with suppress(Exception):  # what the first error was matters more
        if old is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, old)


def _is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported()


def _is_history(name: str) -> bool:
    """``_``, ``__``, ``_3``, ``_i``, ``_ii``, ``_i3``...: IPython's, not the user's."""
    if not name.startswith("_"):
        return False
    rest = name.lstrip("_")
    if not rest:
        return len(name) <= 3
    if not name.startswith("__") and rest[0] == "i":
        tail = rest.lstrip("i")
        return (not tail and len(rest) <= 3) or (rest[1:].isdigit() and len(rest) > 1)
    return rest.isdigit() and not name.startswith("__")
