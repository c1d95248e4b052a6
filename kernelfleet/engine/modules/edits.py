"""Which statements of a module must be executed again after an edit.

A module that is executed as a whole loses its state: ``CACHE = {}`` is empty again, ``MISSING =
object()`` is another object, a connection is opened again. Therefore only those top-level
statements are executed that the edit has changed, that import something that has been reloaded, or
that read a changed name while they are executed.

The functions here are pure, except that ``from m import x`` is executed in a scratch namespace to
find out whether it imports another object now.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: Statements whose bindings can be told from the source. If another one is concerned, the whole
#: module is executed.
_SIMPLE = (*_DEFS, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom)


class Part(NamedTuple):
    """The statements to execute, and the names that the edit has removed."""

    tree: ast.Module
    gone: set[str]


def what_changed(before: bytes, after: bytes, module: types.ModuleType) -> Part | None:
    """Return the part of a module's new source to execute; None means all of it.

    Args:
        before: The source that was executed last.
        after: The new source.
        module: The module as it is now.
    """
    old, new = ast.parse(before).body, ast.parse(after).body
    known, now = set(map(ast.dump, old)), set(map(ast.dump, new))
    changed = [each for each in new if ast.dump(each) not in known or _gives_anew(each, module)]
    lost = [each for each in old if ast.dump(each) not in now]
    affected = [each for each in (*changed, *lost) if not _is_text(each)]
    if not all(isinstance(each, _SIMPLE) and "*" not in _bound(each) for each in affected):
        return None
    chosen = _with_readers(new, changed, lost)
    if chosen is None:
        return None
    body = [each for each in new if id(each) in chosen or _is_future(each)]
    gone = _names(lost) - _names(new)
    return Part(ast.Module(body=body, type_ignores=[]), gone)


def _with_readers(
    new: list[ast.stmt], changed: list[ast.stmt], lost: list[ast.stmt]
) -> set[int] | None:
    """Return the ids of changed statements and of those that depend on them; None means all."""
    chosen = set(map(id, changed))
    rebound = _names(changed) | _names(lost)
    #: The names of ``rebound``, and of functions that behave differently when called.
    dirty = set(rebound)
    grown = True
    while grown:
        grown = False
        for each in new:
            if id(each) in chosen:
                continue
            if _read(each, in_bodies=False) & dirty or _bound(each) & rebound:
                if not isinstance(each, _SIMPLE):
                    return None
                chosen.add(id(each))
                rebound |= _bound(each)
                dirty |= _bound(each)
                grown = True
            elif _does_something_else(each, dirty):
                dirty |= _bound(each)
                grown = True
    return chosen


def _does_something_else(statement: ast.stmt, dirty: set[str]) -> bool:
    """Tell whether a function or class, not marked yet, uses a changed name when it is called."""
    if not isinstance(statement, _DEFS) or statement.name in dirty:
        return False
    return bool(_read(statement, in_bodies=True) & dirty)


def _gives_anew(statement: ast.stmt, module: types.ModuleType) -> bool:
    """Tell whether a ``from m import x`` imports another object now than the module has."""
    if not isinstance(statement, ast.ImportFrom) or _is_future(statement):
        return False
    has = vars(module)
    scratch: dict[str, Any] = {
        name: has[name] for name in ("__name__", "__package__", "__spec__") if name in has
    }
    kept = set(scratch)
    try:
        code = compile(ast.Module([statement], []), "<import>", "exec", dont_inherit=True)
        exec(code, scratch)
    except Exception:  # noqa: BLE001 - executing the module will raise it again
        return True
    given = {name: scratch[name] for name in scratch.keys() - kept - {"__builtins__"}}
    return any(has.get(name, has) is not value for name, value in given.items())


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _is_text(statement: ast.stmt) -> bool:
    """Tell whether a statement is a docstring or another constant, which has no effect."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _names(statements: list[ast.stmt]) -> set[str]:
    return {name for each in statements for name in _bound(each)}


def _bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement binds."""
    if isinstance(statement, _DEFS):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _read(statement: ast.stmt, *, in_bodies: bool) -> set[str]:
    """Return the names that a statement reads when executed; ``in_bodies`` adds function bodies."""
    return set(_reads(statement, in_bodies=in_bodies))


def _reads(statement: ast.AST, *, in_bodies: bool) -> Iterator[str]:
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not in_bodies:
            stack += [*node.decorator_list, node.args]
            stack += [node.returns] if node.returns is not None else []
        elif isinstance(node, ast.Lambda) and not in_bodies:
            stack.append(node.args)
        else:
            stack += ast.iter_child_nodes(node)


def docstring(source: bytes) -> str | None:
    """Return the docstring of a module's source."""
    return ast.get_docstring(ast.parse(source), clean=False)
