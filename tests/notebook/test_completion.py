"""Completion inside code for engines: who is asked, and what about."""

from __future__ import annotations

import pytest

from kernelfleet.notebook.completion import question
from kernelfleet.notebook.extension import state_of
from tests.gate import Gate
from tests.notebook.conftest import Shell


def asked(shell: Shell, text: str) -> tuple[int, str, int] | None:
    """The engine, code and cursor of ``|``."""
    cursor = text.index("|")
    found = question(state_of(shell.ip), text.replace("|", ""), cursor)
    return None if found is None else (found.engine_id, found.code, found.cursor)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%%px\nx.|", (0, "x.", 2)),
        ("%%px -t 2,3 --out r\na\nx.|\ny", (2, "a\nx.\ny", 4)),
        ("%px x.|", (0, "x.", 2)),
        ("px x.|", (0, "x.", 2)),
        ("a = 1\n%px x.|\nb", (0, "x.", 2)),
        ("%%px -|", None),
        ("%%px -t nonsense\nx|", None),
        ("%%px -t 9\nx|", None),
        ("%%engine 2 --noblock\nx.|", (2, "x.", 2)),
        ("%%local\nx.|", None),
        ("x.|", None),
        ("%%pxother\nx|", None),
        ("y = px x|", None),
        ("%p|x a", None),
    ],
)
def test_the_first_target_is_asked_about_the_code_alone(
    shell: Shell, text: str, expected: tuple[int, str, int] | None
) -> None:
    assert asked(shell, text) == expected


def test_under_autopx_every_cell_is_the_engines_except_what_stays_here(shell: Shell) -> None:
    shell.run("%autopx")
    assert asked(shell, "a\nx.|") == (0, "a\nx.", 4)
    assert asked(shell, "%result |") is None
    shell.run("%autopx")
    assert asked(shell, "a\nx.|") is None


def completions(shell: Shell, text: str) -> list[str]:
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        found = list(shell.ip.Completer.completions(text, len(text)))
    return [text[: each.start] + each.text for each in found]


def test_an_engines_names_are_offered_and_ours_are_not(shell: Shell) -> None:
    shell.run("%px theirs_and_ours = {'k': 1}")
    shell.run("theirs_not = 1")
    assert completions(shell, "%%px\ntheirs_") == ["%%px\ntheirs_and_ours"]
    assert completions(shell, "%px theirs_and_ours.upd") == ["%px theirs_and_ours.update"]
    assert completions(shell, "theirs_") == ["theirs_not"]


def test_a_busy_engine_is_left_alone_and_this_process_answers(shell: Shell, gate: Gate) -> None:
    pending = shell["mec"].execute(gate.code, targets=0, block=False)
    gate.entered()
    assert completions(shell, "%%px\nprin") == ["%%px\nprint"]
    gate.open()
    pending.wait(30)


def test_unloading_ends_it(shell: Shell) -> None:
    shell.run("%load_ext kernelfleet")
    shell.run("%unload_ext kernelfleet")
    assert not shell.ip.Completer.custom_matchers
