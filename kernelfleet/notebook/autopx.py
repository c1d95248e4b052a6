"""``%autopx`` and ``%fleet cells``: a mode in which every cell is sent to the engines.

An input transformer rewrites each cell into the call of a hidden magic, which sends it. So history,
the check whether input is complete, and the display of errors remain IPython's own. Some cells are
not rewritten, and so run here: kernelfleet's own magics, ``%debug``, code that does not compile,
code that a frontend runs silently, and cells that begin with ``%%local``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.magic import no_var_expand

if TYPE_CHECKING:
    from kernelfleet.notebook.shell_state import ShellState

HIDDEN_MAGIC = "_kernelfleet_autopx"

#: Besides the magics with a suffix, these run here; the last ones only if they name kernelfleet.
_LOCAL = r"fleet|debug|(?:load_ext|reload_ext|unload_ext)\s+kernelfleet|config\s+KernelFleet"


@dataclass
class AutoPx:
    """The mode while it is on; as an object it is the input transformer.

    Attributes:
        state: The state of the shell.
        suffix: The suffix of the magics whose client the cells are sent to.
        run: Sends a cell, and returns the value that is shown.
        prompts: The prompts of a terminal that were there before.
        suspended: Whether cells are run here for the moment.
    """

    state: ShellState
    suffix: str
    run: Callable[[str], Any]
    prompts: Any = None
    suspended: bool = field(default=False)

    #: Whether ``%fleet cells`` has switched it on: outputs are shown as those of ``%%px``.
    as_cells: bool = False

    #: IPython does not call transformers with this attribute to check whether input is complete.
    has_side_effects = True

    def __call__(self, lines: list[str]) -> list[str]:
        """Rewrite the lines of a cell, unless it is to run here."""
        text = "".join(lines)
        if self.suspended or not text.strip() or self.is_local(text):
            return lines
        body, last = _without_end(text, self.suffix)
        if not self._compiles(body):
            return lines
        call = f"get_ipython().run_cell_magic({HIDDEN_MAGIC!r}, '', {body!r})\n"
        return [call, *last]

    def is_local(self, text: str) -> bool:
        """Whether a cell runs here because of its first line."""
        code = [line for line in text.splitlines() if line.strip() and not _is_comment(line)]
        if not code:
            return True
        suffixes = "|".join(map(re.escape, sorted(self.state.suffixes)))
        own = rf"(?:px|engine|result|autopx|pxpeek|pxdebug)(?:{suffixes})|local"
        first = code[0].strip()
        if re.match(rf"%%?(?:{own}|{_LOCAL})(?!\w)", first):
            return True
        bare = rf"autopx(?:{suffixes})|px(?:{suffixes})\s+[^\s=.(\[].*"
        return len(code) == 1 and re.fullmatch(bare, first) is not None

    def _compiles(self, text: str) -> bool:
        if is_python(text):
            return True
        if is_python(TransformerManager().transform_cell(text)):  # type: ignore[no-untyped-call]
            return True
        if len(text.strip().splitlines()) != 1:
            return False
        # IPython also understands lines such as ``cd x``, a magic without a percent sign.
        return is_python(self.state.shell.prefilter_manager.prefilter_lines(text.strip()))

    # A cell that stays here may run others here, as ``%%time`` does with its code.

    def begin(self, info: Any) -> None:
        """A cell is about to run (``pre_run_cell``)."""
        if _is_marked_local(info.raw_cell):
            self.suspended = True

    def end(self, result: Any) -> None:
        """A cell has run (``post_run_cell``)."""
        if _is_marked_local(result.info.raw_cell):
            self.suspended = False

    @no_var_expand
    def send(self, line: str, cell: str) -> Any:
        """Run a cell that was rewritten: on the engines, or here if a frontend runs it silently."""
        del line
        shell = self.state.shell
        result = getattr(shell.displayhook, "exec_result", None)
        if result is not None and result.info is not None and result.info.silent:
            self.suspended = True
            try:
                shell.run_cell(cell, silent=True)
            finally:
                self.suspended = False
            return None
        return self.run(cell.removesuffix("\n"))


def enable(
    state: ShellState, suffix: str, run: Callable[[str], Any], *, as_cells: bool = False
) -> None:
    """Switch the mode on.

    Args:
        state: The state of the shell.
        suffix: The suffix of the magics whose client the cells are sent to.
        run: Gets every cell, and returns the value that is shown.
        as_cells: Whether it is ``%fleet cells`` that switches it on.
    """
    shell = state.shell
    mode = state.autopx = AutoPx(state, suffix, run, as_cells=as_cells)
    shell.register_magic_function(mode.send, "cell", HIDDEN_MAGIC)
    # Before ``run_here``, which takes ``%%local`` away.
    transformers = shell.input_transformers_cleanup
    transformers.insert(transformers.index(run_here), mode)
    shell.events.register("pre_run_cell", mode.begin)
    shell.events.register("post_run_cell", mode.end)
    if hasattr(shell, "prompts"):
        mode.prompts, shell.prompts = shell.prompts, _marked_prompts(shell, suffix)


def disable(state: ShellState) -> None:
    """Switch the mode off."""
    mode, state.autopx = state.autopx, None
    assert mode is not None
    transformers = state.shell.input_transformers_cleanup
    transformers[:] = [each for each in transformers if each is not mode]
    state.shell.events.unregister("pre_run_cell", mode.begin)
    state.shell.events.unregister("post_run_cell", mode.end)
    state.shell.magics_manager.magics["cell"].pop(HIDDEN_MAGIC, None)
    if mode.prompts is not None:
        state.shell.prompts = mode.prompts


LOCAL = "local"
_LOCAL_LINE = re.compile(rf"\s*%%{LOCAL}[ \t]*(#[^\n]*)?(\n|\Z)")


def _is_marked_local(cell: object) -> bool:
    return isinstance(cell, str) and _LOCAL_LINE.match(cell) is not None


def install(state: ShellState) -> None:
    """Let a shell know ``%%local``, in this mode and outside of it."""
    shell = state.shell

    @no_var_expand
    def local(line: str, cell: str) -> None:
        """Run a cell here, also while every cell goes to the engines (``%autopx``)."""
        if line.strip():
            raise UsageError("%%local takes nothing on its line; the code stands below it")
        shell.run_cell(cell)  # (called by code: as the first line of a cell it is taken away)

    shell.register_magic_function(local, "cell", LOCAL)
    shell.input_transformers_cleanup.append(run_here)


def remove(state: ShellState) -> None:
    """Undo ``install``."""
    state.shell.magics_manager.magics["cell"].pop(LOCAL, None)
    transformers = state.shell.input_transformers_cleanup
    transformers[:] = [each for each in transformers if each is not run_here]


def run_here(lines: list[str]) -> list[str]:
    """The input transformer for ``%%local``: the cell below it runs here, as any cell does.

    An empty line takes the place of the magic, so that tracebacks number lines as the cell does. If
    the magic of another cell follows, it has to become the first line.
    """
    if not lines or not _LOCAL_LINE.fullmatch(lines[0]):
        return lines
    rest = lines[1:]
    return rest if rest and rest[0].startswith("%%") else ["\n", *rest]


def _marked_prompts(shell: Any, suffix: str) -> Any:
    """The prompts of a terminal with ``px`` in front: they say that input goes to the engines."""

    class MarkedPrompts(type(shell.prompts)):  # type: ignore[misc]
        def in_prompt_tokens(self) -> list[Any]:
            ordinary: list[Any] = super().in_prompt_tokens()
            style = ordinary[0][0]
            return [(style, f"px{suffix} "), *ordinary]

    return MarkedPrompts(shell)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _without_end(text: str, suffix: str) -> tuple[str, list[str]]:
    """Split off a last line that is ``%autopx``: the cell without it, and that line."""
    *body, last = text.rstrip().splitlines(keepends=True)
    if body and last.strip() == f"%autopx{suffix}":
        return "".join(body), [last + "\n"]
    return text, []


def is_python(text: str) -> bool:
    """Whether a text compiles as the code of a cell."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    try:
        compile(text, "<cell>", "exec", flags=flags, dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError):
        return False
    return True
