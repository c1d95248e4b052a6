"""Completion and tooltips for code in ``%%px``, ``%px`` and ``%autopx``, answered by an engine.

The first target is asked, if it is idle. Only its completions are offered, because names that exist
in this process alone would not work there. A busy engine is not asked; then this process completes
with the names that it knows. The options of the magics are completed by ``words.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.error import UsageError

from kernelfleet.client import access
from kernelfleet.client.targets import parse_targets
from kernelfleet.errors.tree import FleetError
from kernelfleet.notebook import words
from kernelfleet.notebook.options import HelpAsked, cell_options

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.notebook.shell_state import ShellState

#: How long an engine may take to answer, while a person waits for completions.
PATIENCE_SECONDS = 2.0

_ATTRIBUTE = "_kernelfleet_matcher"


@dataclass(frozen=True)
class Question:
    """A question to an engine about code that it would run.

    Attributes:
        client: The client to ask with.
        engine_id: The engine.
        code: The code.
        cursor: How many characters of the code stand before the cursor.
    """

    client: MultiEngineClient
    engine_id: int
    code: str
    cursor: int

    def ask(self, operation: str, **fields: Any) -> dict[str, Any] | None:
        """Have the engine complete or inspect the code; None if it does not answer."""
        try:
            return access.ask_about_code(
                self.client, operation, PATIENCE_SECONDS,
                engine=self.engine_id, code=self.code, cursor_pos=self.cursor, **fields,
            )  # fmt: skip
        except (TimeoutError, FleetError):
            return None


def question(state: ShellState, text: str, cursor: int) -> Question | None:
    """The question to an engine about a cell with a cursor; None if no engine is concerned."""
    found = _code_at(state, text, cursor)
    if found is None:
        return None
    suffix, line, code, position = found
    client = state.clients.get(suffix)
    if client is None:
        return None
    try:
        wanted = cell_options(line).targets
        targets = parse_targets(wanted, access.engine_ids(client)) if wanted else None
        ids = access.resolve_targets(client, targets)
    except (UsageError, HelpAsked, ValueError, FleetError):
        return None
    return Question(client, ids[0], code, position) if ids else None


def _code_at(state: ShellState, text: str, cursor: int) -> tuple[str, str, str, int] | None:
    """Suffix, options, code and position in it; None if the cursor is not in code for engines."""
    suffixes = "|".join(map(re.escape, sorted(state.suffixes, reverse=True)))
    cell = re.match(rf"\s*%%(px|engine)({suffixes})(?!\w)([^\n]*)\n", text)
    if cell is not None:
        start, options = cell.end(), cell[3]
        if cell[1] == "engine":
            options = f"--targets={options.strip()}"
        return (cell[2], options, text[start:], cursor - start) if cursor >= start else None
    if state.autopx is not None and not state.autopx.is_local(text):
        return state.autopx.suffix, "", text, cursor
    start = text.rfind("\n", 0, cursor) + 1
    line = re.match(rf"[^\n]*?%?\bpx({suffixes})[ \t]+", text[start:])
    if line is None or not re.fullmatch(rf"\s*%?px({suffixes})[ \t]+", line[0]):
        return None
    start += line.end()
    code = text[start:].split("\n", 1)[0]
    return (line[1], "", code, cursor - start) if cursor >= start else None


def _match(state: ShellState, context: Any) -> dict[str, Any]:
    lines = context.full_text.split("\n")
    before = lines[: context.cursor_line]
    cursor = sum(len(line) + 1 for line in before) + context.cursor_position
    own = words.complete(state, context.full_text[:cursor])
    if own is not None:
        begun, offered = own
        found = [SimpleCompletion(text=word, type="magic") for word in offered]
        return {"completions": found, "suppress": True, "matched_fragment": begun}
    asked = question(state, context.full_text, cursor)
    if asked is None:
        return {"completions": [], "suppress": False}
    answer = asked.ask("complete")
    if answer is None:
        return {"completions": [], "suppress": False}
    types = answer.get("metadata", {}).get("_jupyter_types_experimental", [])
    kinds = {each.get("text"): each.get("type") for each in types}
    completions = [
        SimpleCompletion(text=text, type=kinds.get(text)) for text in answer.get("matches", ())
    ]
    fragment = asked.code[answer.get("cursor_start", asked.cursor) : asked.cursor]
    if fragment.startswith(".") and all(each.text.startswith(".") for each in completions):
        # Without jedi, IPython (9.18) returns completions with the dot that is there already, and
        # frontends would show it twice.
        fragment = fragment[1:]
        completions = [SimpleCompletion(text=each.text[1:], type=each.type) for each in completions]
    return {"completions": completions, "suppress": True, "matched_fragment": fragment}


def install(state: ShellState) -> None:
    """Have a shell ask engines for completions, and its kernel for tooltips."""

    @context_matcher(identifier="kernelfleet", priority=1000)  # type: ignore[untyped-decorator]
    def matcher(context: Any) -> Any:
        return _match(state, context)

    setattr(state.shell, _ATTRIBUTE, matcher)
    state.shell.Completer.custom_matchers.append(matcher)
    kernel = getattr(state.shell, "kernel", None)
    if kernel is not None:
        kernel.do_inspect = _inspector(state, kernel.do_inspect)


def _inspector(state: ShellState, local: Callable[..., Any]) -> Callable[..., Any]:
    """A ``do_inspect`` for the kernel that asks an engine about code for engines.

    Args:
        state: The state of the shell.
        local: The kernel's own method, which answers about all other code.
    """

    def do_inspect(
        code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()
    ) -> Any:
        asked = question(state, code, cursor_pos)
        if asked is None:
            return local(code, cursor_pos, detail_level, omit_sections)
        answer = asked.ask("inspect", detail_level=detail_level)
        return answer or {"status": "ok", "found": False, "data": {}, "metadata": {}}

    return do_inspect


def remove(state: ShellState) -> None:
    """Undo ``install``."""
    matcher = getattr(state.shell, _ATTRIBUTE)
    state.shell.Completer.custom_matchers.remove(matcher)
    kernel = getattr(state.shell, "kernel", None)
    if kernel is not None:
        kernel.__dict__.pop("do_inspect", None)
