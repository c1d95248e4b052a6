"""Running a script as ``python script.py`` does, but in the engine's namespace: ``mec.run``.

The text comes from the client, and the engine need not have the file. If it has the file's folder,
the script can import the modules in it.
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
        """Whether the script is Python, and not IPython's language (``.ipy``)."""
        return not self.path.endswith(".ipy")


@contextmanager
def running_as_script(shell: Any, script: Script, code: str) -> Iterator[None]:
    """Make the shell run the next cell as a script.

    ``sys.argv``, ``exit`` and ``quit`` are changed for the script only. ``__file__`` and the
    script's folder on ``sys.path`` stay, because functions that it defines may use them later.
    """
    warnings.filterwarnings("ignore", "To exit: use")  # what IPython 9.18 says after SystemExit
    folder = os.path.dirname(script.path)
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.insert(0, folder)
    namespace = shell.user_ns
    namespace["__file__"] = shell.user_ns_hidden["__file__"] = script.path
    exits = {"exit": sys.exit, "quit": sys.exit}  # those of IPython would end the engine
    with ExitStack() as stack:
        stack.enter_context(_changed(vars(sys), {"argv": list(script.argv)}))
        stack.enter_context(_changed(namespace, exits))
        if script.is_plain:
            stack.enter_context(_changed(namespace, {"__doc__": docstring(code)}))
            stack.enter_context(_compiling_as_file(shell, script.path, code))
        yield


def docstring(code: str) -> str | None:
    """Return the docstring of a script, which ``argparse`` and others read from ``__doc__``."""
    try:
        return ast.get_docstring(ast.parse(code), clean=False)
    except SyntaxError:  # this Python may be another than the client's; running it will say so
        return None


@contextmanager
def _changed(holder: dict[str, Any], values: dict[str, Any]) -> Iterator[None]:
    """Put values into a dictionary for a while. A value that the script replaces stays."""
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
    """Make the shell compile under the file's name, without ``__future__`` flags of past cells."""
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
    """Wraps a script in a ``try`` for which ``sys.exit()`` and ``sys.exit(0)`` are a success."""

    _HANDLER = """
try: pass
except SystemExit as __kernelfleet_status__:
    if __kernelfleet_status__.code not in (None, 0): raise
"""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Wrap everything but the docstring and imports from ``__future__``, which come first."""
        first = next((i for i, each in enumerate(node.body) if not _comes_first(each)), None)
        if first is None:
            return node
        (attempt,) = ast.parse(self._HANDLER).body
        assert isinstance(attempt, ast.Try)
        for each in ast.walk(attempt):  # so that a traceback shows only lines of the script
            if "lineno" in each._attributes:
                ast.copy_location(each, node.body[first])
        attempt.body = node.body[first:]
        node.body[first:] = [attempt]
        return node


def _comes_first(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
