"""outbox.py: what the user does arrives in order, and a slider's way is shortened."""

from __future__ import annotations

from typing import Any

from kernelfleet.notebook.widgets.outbox import Entry, Outbox
from kernelfleet.wire.messages.comms import CommMessage


def change(comm_id: str, **values: Any) -> Entry:
    data = {"method": "update", "state": values, "buffer_paths": []}
    return Entry(comm_id, CommMessage("comm_msg", comm_id, data), {"of": values})


def click(comm_id: str) -> Entry:
    return Entry(comm_id, CommMessage("comm_msg", comm_id, {"method": "custom"}))


def sent(outbox: Outbox, engine: int = 0) -> list[Entry]:
    """All that is sent when each is dealt with at once."""
    entries = []
    while (entry := outbox.next(engine)) is not None:
        entries.append(entry)
        outbox.done(engine)
    return entries


def test_one_is_on_its_way_to_each_engine() -> None:
    outbox = Outbox()
    for engine in (0, 0, 1):
        outbox.add(engine, click("a"))
    first = outbox.next(0)
    assert first is not None
    assert outbox.in_flight(0) is first
    assert outbox.next(0) is None
    assert outbox.next(1) is not None
    outbox.done(0)
    assert outbox.in_flight(0) is None
    assert outbox.next(0) is not None


def test_only_the_last_change_waits_while_the_engine_is_busy() -> None:
    outbox = Outbox()
    outbox.add(0, change("a", value=0))
    assert outbox.next(0) is not None
    for value in range(1, 100):
        outbox.add(0, change("a", value=value))
    outbox.done(0)
    (last,) = sent(outbox)
    assert last.said.data["state"] == {"value": 99}
    assert last.parent == {"of": {"value": 99}}  # the echo names the last message


def test_nothing_goes_past_what_came_in_between() -> None:
    outbox = Outbox()
    entries = [change("a", x=1), click("b"), change("a", x=2), change("b", y=1), change("a", x=3)]
    for entry in entries:
        outbox.add(0, entry)
    assert sent(outbox) == entries


def test_a_change_of_other_properties_is_kept() -> None:
    outbox = Outbox()
    for entry in (change("a", x=1), change("a", y=1), change("a", x=2, y=2)):
        outbox.add(0, entry)
    assert [entry.said.data["state"] for entry in sent(outbox)] == [{"x": 1}, {"x": 2, "y": 2}]


def test_what_waits_for_an_engine_that_is_gone_is_forgotten() -> None:
    outbox = Outbox()
    outbox.add(0, click("a"))
    outbox.add(1, click("a"))
    outbox.forget(0)
    outbox.forget(7)
    assert sent(outbox, 0) == []
    assert len(sent(outbox, 1)) == 1
