"""Completion of the magics' own words."""

from __future__ import annotations

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.notebook.extension import state_of
from kernelfleet.notebook.options import VERBS
from kernelfleet.notebook.words import complete
from tests.gate import Gate
from tests.notebook.conftest import Shell
from tests.notebook.test_completion import completions


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("%%px --tar", ["--targets"]),
        ("%%px -t 0 --no", ["--no-collapse", "--no-progress", "--noblock"]),
        ("%%px --on-error ", ["raise", "keep", "show"]),
        ("%%px --on-error s", ["show"]),
        ("%%px --on-error=k", ["keep"]),
        ("%%px --targets a", ["all"]),
        ("%%engine ", ["all", "0", "1", "2", "3"]),
        ("%%engine 1 --nobl", ["--noblock"]),
        ("%fleet cells --q", ["--quiet"]),
        ("%%px --push mine", ["mine_1", "mine_2"]),
        ("%%px --push mine_1,mine", ["mine_1", "mine_2"]),
        ("%fleet st", ["start", "status", "stop"]),
        ("%fleet ", list(VERBS)),
        ("%fleet t", ["timeline", "top"]),
        ("fleet conn", ["connect"]),
        ("%fleet start --d", ["--daemon"]),
        ("%fleet use a", ["all"]),
        ("%fleet interrupt a", ["all"]),
        ("%fleet logs --e", ["--engine"]),
        ("%fleet --", ["--help"]),
        ("%fleet nonsense x", []),
        ("%pxpeek lon", ["long_name", "longer"]),
        ("%pxpeek long_name, longe", ["longer"]),
        ("x = 1\n%fleet sto", ["stop"]),
    ],
)
def test_words_are_offered_where_they_may_stand(
    shell: Shell, mec: MultiEngineClient, typed: str, expected: list[str]
) -> None:
    mec.push({"long_name": 1, "longer": 2})
    shell.run("mine_1 = mine_2 = 0")
    found = complete(state_of(shell.ip), typed)
    assert found is not None
    assert found[1] == expected


@pytest.mark.parametrize("typed", ["x.", "%%px", "%%px -t 0\nx", "%px x", "%time f", "pxpeeks x"])
def test_what_is_no_word_of_ours_is_left_to_others(shell: Shell, typed: str) -> None:
    assert complete(state_of(shell.ip), typed) is None


def test_tab_completes_them_in_the_shell(shell: Shell, mec: MultiEngineClient) -> None:
    mec.push({"long_name": 1})
    assert completions(shell, "%%px --tar") == ["%%px --targets"]
    assert completions(shell, "%fleet sta") == ["%fleet start", "%fleet status"]
    assert completions(shell, "%pxpeek lon") == ["%pxpeek long_name"]
    assert completions(shell, "mec['lon") == ["mec['long_name"]
    assert completions(shell, 'mec["lon') == ['mec["long_name']


def test_names_are_offered_from_busy_engines_at_once(
    shell: Shell, mec: MultiEngineClient, gate: Gate
) -> None:
    mec.push({"long_name": 1})
    pending = mec.execute(gate.code, block=False)
    gate.entered(4)
    assert completions(shell, "%pxpeek lon") == ["%pxpeek long_name"]
    assert completions(shell, "mec['lon") == ["mec['long_name"]
    assert [status["queue"] for _, status in mec.queue_status()] == [[]] * 4
    offered = complete(state_of(shell.ip), "%fleet attach ")
    assert offered == ("", [pending.result_id])
    gate.open()
    pending.wait(30)


def test_names_of_engines_that_are_gone_are_none(shell: Shell, mec: MultiEngineClient) -> None:
    mec.targets = 99
    assert completions(shell, "%pxpeek lon") == []
