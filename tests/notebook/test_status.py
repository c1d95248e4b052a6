"""The table of ``%fleet status``."""

from __future__ import annotations

from kernelfleet import MultiEngineClient
from kernelfleet.display import tables
from kernelfleet.notebook.status import Status


def test_each_engine_has_a_row_in_text_and_in_html_with_the_columns_of_all(
    mec: MultiEngineClient,
) -> None:
    mec.execute("1", targets=0)
    status = Status(mec)
    header, *rows = repr(status).splitlines()
    shown = [column.name for column in tables.COLUMNS]
    assert header.split() == [name for name in shown if name not in ("result id", "running")]
    assert [row.split()[:2] for row in rows] == [[str(i), "idle"] for i in range(4)]
    drawn = status._repr_html_()
    assert drawn.count("<tr>") == 5
    assert "<b>4 engines</b> of fleet" in drawn
    assert "CPU" in drawn
