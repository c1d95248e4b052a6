"""Running a script as ``python script.py`` would, but in the engine's namespace: ``mec.run``.

The text comes from the client, and the file need not be here; where its folder is, the modules
beside it can be imported.
"""

# mypy: allow-untyped-calls
# IPython's methods are untyped

from __future__ import annotations

import ast
import linecache
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

_MISSING = object()


@dataclass(frozen=True)
class Script:
    """A script that an engine is to run."""

    path: str
    argv: Sequence[str]

    @property
    def is_plain(self) -> bool:
        """Whether it is Python, and not IPython's language (``.ipy``)."""
        return not self.path.endswith(".ipy")


@contextmanager
def running_as_script(shell: Any, script: Script, code: str) -> Iterator[None]:
    """Let the next cell of the shell be a script.

    What is for the script alone (``sys.argv``, ``exit``) is put back; ``__file__`` and the
    script's folder on ``sys.path`` stay, since functions that it defines may use them later.
    """
    warnings.filterwarnings("ignore", "To exit: use")  # IPython 9.18 on SystemExit
    folder = os.path.dirname(script.path)
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.insert(0, folder)
    namespace = shell.user_ns
    namespace["__file__"] = shell.user_ns_hidden["__file__"] = script.path
    exits = {"exit": sys.exit, "quit": sys.exit}  # IPython's would end the engine
    with ExitStack() as stack:
        stack.enter_context(_changed(vars(sys), {"argv": list(script.argv)}))
        stack.enter_context(_changed(namespace, exits))
        if script.is_plain:
            stack.enter_context(_changed(namespace, {"__doc__": docstring(code)}))
            stack.enter_context(_compiling_as_file(shell, script.path, code))
        yield


def docstring(code: str) -> str | None:
    """What a script says about itself, for ``argparse`` and its like."""
    try:
        return ast.get_docstring(ast.parse(code), clean=False)
    except SyntaxError:  # this Python is another one than the client's; it will be told
        return None


@contextmanager
def _changed(holder: dict[str, Any], values: dict[str, Any]) -> Iterator[None]:
    """Have values in a dictionary for a while; what somebody else puts there stays."""
    before = {name: holder.get(name, _MISSING) for name in values}
    holder.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if holder.get(name) is not values[name]:
                continue
            if value is _MISSING:
                del holder[name]
            else:
                holder[name] = value


@contextmanager
def _compiling_as_file(shell: Any, path: str, code: str) -> Iterator[None]:
    """Let the shell compile under the file's name, without the futures of earlier cells."""
    compiler = shell.compile
    linecache.cache[path] = (len(code), None, code.splitlines(keepends=True), path)
    flags, interactivity = compiler.flags, shell.ast_node_interactivity
    exits_well = ExitsWell()
    compiler.reset_compiler_flags()
    compiler.cache = lambda *_, **__: path
    shell.ast_node_interactivity = "none"  # a script does not show its last expression
    shell.ast_transformers.append(exits_well)
    try:
        yield
    finally:
        if exits_well in shell.ast_transformers:
            shell.ast_transformers.remove(exits_well)
        shell.ast_node_interactivity = interactivity
        del compiler.cache
        compiler.flags = flags


class ExitsWell(ast.NodeTransformer):
    """Puts a script into a ``try`` that takes ``sys.exit()`` and ``sys.exit(0)`` for success."""

    _HANDLER = """
try: pass
except SystemExit as __kernelfleet_status__:
    if __kernelfleet_status__.code not in (None, 0): raise
"""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Wrap everything but the imports from the future, which have to come first."""
        first = next((i for i, each in enumerate(node.body) if not _comes_first(each)), None)
        if first is None:
            return node
        (attempt,) = ast.parse(self._HANDLER).body
        assert isinstance(attempt, ast.Try)
        for each in ast.walk(attempt):  # a traceback is to show lines of the script alone
            if "lineno" in each._attributes:
                ast.copy_location(each, node.body[first])
        attempt.body = node.body[first:]
        node.body[first:] = [attempt]
        return node


def _comes_first(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
