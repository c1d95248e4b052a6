"""``%autopx``: a mode in which every cell is sent to the engines.

An input transformer rewrites each cell into the call of a hidden magic, which sends it. So history,
the check whether input is complete, and the display of errors remain IPython's own. Some cells are
not rewritten, and so run here: kernelfleet's own magics, ``%debug``, code that does not compile,
and code that a frontend runs silently.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
        own = rf"(?:px|result|autopx|pxpeek|pxdebug)(?:{suffixes})"
        first = code[0].strip()
        if re.match(rf"%%?(?:{own}|{_LOCAL})(?!\w)", first):
            return True
        bare = rf"autopx(?:{suffixes})|px(?:{suffixes})\s+[^\s=.(\[].*"
        return len(code) == 1 and re.fullmatch(bare, first) is not None

    def _compiles(self, text: str) -> bool:
        if is_python(TransformerManager().transform_cell(text)):  # type: ignore[no-untyped-call]
            return True
        if len(text.strip().splitlines()) != 1:
            return False
        # IPython also understands lines such as ``cd x``, a magic without a percent sign.
        return is_python(self.state.shell.prefilter_manager.prefilter_lines(text.strip()))

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


def enable(state: ShellState, suffix: str, run: Callable[[str], Any]) -> None:
    """Switch the mode on.

    Args:
        state: The state of the shell.
        suffix: The suffix of the magics whose client the cells are sent to.
        run: Gets every cell, and returns the value that is shown.
    """
    shell = state.shell
    mode = state.autopx = AutoPx(state, suffix, run)
    shell.register_magic_function(mode.send, "cell", HIDDEN_MAGIC)
    shell.input_transformers_cleanup.append(mode)
    if hasattr(shell, "prompts"):
        mode.prompts, shell.prompts = shell.prompts, _marked_prompts(shell, suffix)


def disable(state: ShellState) -> None:
    """Switch the mode off."""
    mode, state.autopx = state.autopx, None
    assert mode is not None
    transformers = state.shell.input_transformers_cleanup
    transformers[:] = [each for each in transformers if each is not mode]
    state.shell.magics_manager.magics["cell"].pop(HIDDEN_MAGIC, None)
    if mode.prompts is not None:
        state.shell.prompts = mode.prompts


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
