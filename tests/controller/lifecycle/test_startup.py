"""What is told of an engine that did not come up; the rest is held by tests/journeys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet import __version__
from kernelfleet.controller.lifecycle.startup import (
    TAIL_CHARACTERS,
    start_up,
    why_it_failed,
)
from kernelfleet.errors import StartError

GREETING = "NOTE: Ctrl-C will not work.\n\nTo connect:\n    --existing /run/e0.json\n"


def engine(**fields: Any) -> Any:
    return SimpleNamespace(**{"id": 3, "death": "", "info": {}, **fields})


@pytest.mark.parametrize(
    ("error", "fields", "told"),
    [
        (TimeoutError(), {}, "engine 3 did not answer within 60 s while starting"),
        (
            TimeoutError(),
            {"info": {"pid": 1}},
            "engine 3 did not finish its on_start code within 60 s while starting",
        ),
        (
            ConnectionError("engine 3: gone"),
            {"death": "killed by signal 9"},
            "engine 3 did not come up: killed by signal 9",
        ),
        (ConnectionError("engine 3: gone"), {}, "engine 3 did not come up: gone"),
    ],
    ids=["silent", "busy with on_start", "dead", "let go of"],
)
def test_the_cause_is_named(
    tmp_path: Path, error: Exception, fields: dict[str, Any], told: str
) -> None:
    assert why_it_failed(engine(**fields), error, 60.0, tmp_path / "none") == told


def test_its_last_words_are_shown_without_the_kernels_greeting(tmp_path: Path) -> None:
    log = tmp_path / "engine-3.log"
    log.write_text(GREETING)
    assert "last words" not in why_it_failed(engine(), TimeoutError(), 1.0, log)
    log.write_text(GREETING + "ImportError: no numpy\n")
    told = why_it_failed(engine(), TimeoutError(), 1.0, log)
    assert told.endswith("; its last words:\nImportError: no numpy")
    log.write_text("x" * 10 * TAIL_CHARACTERS)
    assert len(why_it_failed(engine(), TimeoutError(), 1.0, log)) < 2 * TAIL_CHARACTERS


def test_a_kernel_that_may_not_know_unix_sockets_is_told_with_the_way_out(tmp_path: Path) -> None:
    log, trial = tmp_path / "engine-3.log", "perhaps it does not know them"
    log.write_text("bad transport")
    told = why_it_failed(engine(), TimeoutError(), 60.0, log, trial)
    assert told.endswith("starting; perhaps it does not know them; its last words:\nbad transport")
    answered = engine(info={"language_info": {}})
    assert trial not in why_it_failed(answered, TimeoutError(), 60.0, log, trial)


def test_an_engine_of_another_kernelfleet_is_refused_as_the_installation_was_changed() -> None:
    async def ask(*_: object) -> Any:
        return SimpleNamespace(content={"status": "ok", "kernelfleet": "9.9.9"})

    with pytest.raises(StartError, match=rf"would run kernelfleet 9.9.9, and .* {__version__}"):
        asyncio.run(start_up(engine(native=True, ask=ask), {}, None))
