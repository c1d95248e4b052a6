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
    head, *rows = repr(status).splitlines()
    assert head.split() == " ".join(column.name for column in tables.COLUMNS).split()
    assert [row.split()[:2] for row in rows] == [[str(i), "idle"] for i in range(4)]
    shown = status._repr_html_()
    assert shown.count("<tr>") == 5
    assert "<b>4 engines</b> of fleet" in shown
    assert "CPU" in shown
