"""The table of ``%fleet status``."""

from __future__ import annotations

from kernelfleet import MultiEngineClient
from kernelfleet.notebook.status import Status


def test_each_engine_has_a_row_in_text_and_in_html(mec: MultiEngineClient) -> None:
    mec.execute("1", targets=0)
    status = Status(mec)
    head, *rows = repr(status).splitlines()
    assert head.split() == [
        "engine", "state", "pid", "memory", "queue", "executed", "age", "kernel",
    ]  # fmt: skip
    assert [row.split()[:2] for row in rows] == [[str(i), "idle"] for i in range(4)]
    assert status._repr_html_().count("<tr>") == 5
