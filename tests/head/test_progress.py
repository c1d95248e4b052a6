"""progress.py of the head: nodes say how far their parts are."""

from __future__ import annotations

from pathlib import Path

from kernelfleet import MultiEngineClient
from kernelfleet.client import access
from tests.fleets import eventually


def test_progress_counts_engines_of_all_nodes(mec: MultiEngineClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    code = (
        f"import os, time\nprint('here')\n"
        f"while engine_id % 2 and not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    )
    pending = mec.execute(code, block=False)
    eventually(lambda: (access.ask_progress(pending) or {}).get("done") == 2)
    shown = access.ask_progress(pending)
    assert shown is not None
    assert (shown["total"], shown["left"]) == (4, [1, 3])
    gate.touch()
    assert len(pending.result(timeout=10)) == 4
