"""Single small changes to a module's source, each of which its tests should notice.

Pure: text in, mutants out. The operators are few and fixed, so that two runs can be compared.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

#: Each comparison becomes its neighbour.
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
#: Each operation of arithmetic becomes its opposite.
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}  # fmt: skip
#: Functions of the language that are mixed up with each other.
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
#: Numbers from here on are sizes and times, chosen by taste; smaller ones are decisions.
TASTE = 10
#: Statements that may be forgotten.
FORGOTTEN = (ast.Expr, ast.AugAssign, ast.Raise, ast.Delete)


@dataclass(frozen=True)
class Mutant:
    """One changed source.

    Attributes:
        line: Where the change is, in the original.
        before: The changed expression or statement, as Python writes it.
        after: What stands there instead.
        source: The whole module with the change.
    """

    line: int
    before: str
    after: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its lines.

    Annotations, docstrings and what is only imported for them are left alone: no test can tell.
    """
    tree = ast.parse(source)
    lines = source.splitlines()
    for node in list(_running_code(tree)):
        for replacement in _replacements(node):
            before = ast.unparse(node)
            original = copy.copy(node.__dict__), type(node)
            _become(node, replacement)
            changed = ast.unparse(tree)
            node.__class__ = original[1]
            node.__dict__.clear()
            node.__dict__.update(original[0])
            if "pragma: no mutation" not in lines[node.lineno - 1]:  # type: ignore[attr-defined]
                yield Mutant(
                    node.lineno,  # type: ignore[attr-defined]
                    before,
                    ast.unparse(replacement),
                    changed,
                )


def _become(node: ast.AST, other: ast.AST) -> None:
    """Put ``other`` in the place of ``node``, whoever refers to it."""
    place = {name: getattr(node, name) for name in ("lineno", "col_offset")}
    fields = dict(other.__dict__)
    node.__class__ = other.__class__
    node.__dict__.clear()
    node.__dict__.update(fields | place)


def _running_code(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions and statements that do something when the module runs, outer ones first."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _says_nothing(child):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            yield from _running_code(child)


def _says_nothing(node: ast.AST) -> bool:
    """A docstring, an import, a block for type checkers, a class of protocols."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base) in ("Protocol", "TypedDict") for base in node.bases)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.JoinedStr)


def _replacements(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901 - one line per operator
    match node:
        case ast.Compare(left=left, ops=[operator, *rest], comparators=others):
            yield ast.Compare(left, [COMPARISONS[type(operator)](), *rest], others)
        case ast.BoolOp(op=operator, values=values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield ast.BoolOp(other, values)
            for i in range(len(values)):
                rest_of = values[:i] + values[i + 1 :]
                yield rest_of[0] if len(rest_of) == 1 else ast.BoolOp(operator, rest_of)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATIONS:
            yield ast.BinOp(left, OPERATIONS[type(operator)](), right)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)) if abs(value) < TASTE:
            yield ast.Constant(value + 1)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in FUNCTIONS:
            yield ast.Call(ast.Name(FUNCTIONS[name], ast.Load()), args, keywords)
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case _ if isinstance(node, FORGOTTEN):
            yield ast.Pass()
