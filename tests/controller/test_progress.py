"""progress.py: how far a request is, for whoever waits for it. With simulated ends."""

from __future__ import annotations

import asyncio

from kernelfleet.wire.outputs import read_pages
from tests.controller.asking import Asker, with_clients
from tests.controller.simulated import Fleet
from tests.fleets import until

# Engine 1 answers when it is released.


def test_it_is_told_who_is_done_who_is_not_and_what_was_put_out() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.execute(0, 1)
        await until(lambda: fleet.controller.running["r"].remaining == 1)
        told = me.at_once("progress", result_id="r")["value"]
        assert (told["done"], told["total"], told["left"]) == (1, 2, [1])
        assert told["begun"]
        assert told["behind"] == []
        assert [engine_id for engine_id, _ in told["outputs"]] == [0, 1]
        assert "outputs" not in me.at_once("progress", result_id="r", brief=True)["value"]
        await fleet.settle()

    with_clients(test)


def test_what_waits_is_told_behind_what_and_whose_that_is() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        me.execute(1, result_id="runs", label="execute('long')")
        you.execute(1, 1, result_id="waits")
        for client, mine in ((me, True), (you, False)):
            told = client.at_once("progress", result_id="waits", brief=True)["value"]
            assert not told["begun"]
            assert told["behind"] == [{"engine": 1, "running": "execute('long')", "mine": mine}]
        await fleet.settle()

    with_clients(test)


def test_what_was_cancelled_before_it_began_has_not_begun() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        fleet.registry.channels[3].holds = True
        me.execute(1, 3, result_id="runs")
        me.execute(1, 3, result_id="r")
        me.at_once("clear_queue", targets=[1])
        await asyncio.sleep(0)
        told = me.at_once("progress", result_id="r", brief=True)["value"]
        assert (told["done"], told["left"], told["begun"]) == (1, [3], False)
        await fleet.settle()

    with_clients(test)


def test_of_what_has_ended_it_is_told_what_it_was_and_of_the_unknown_nothing() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        me.execute(0, decode={"kind": "execute", "code": "1"})
        await fleet.settle()
        answer = you.at_once("progress", result_id="r")
        assert answer["value"] is None
        assert answer["describe"]["operation"] == "execute"
        assert answer["describe"]["targets"] == [0]
        unknown = you.at_once("progress", result_id="x")
        assert (unknown["value"], unknown["describe"]) == (None, None)

    with_clients(test)


def test_what_has_been_put_out_so_far_comes_as_pages_by_engine() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        me.execute(0, 1)
        await until(lambda: fleet.controller.running["r"].remaining == 1)
        request = fleet.controller.running["r"]
        pages = dict(fleet.controller.outputs_so_far(request))
        said = [published.msg_type for published in read_pages(pages[0])]
        assert said == ["stream", "display_data", "error"]
        assert pages[1] == []
        await fleet.settle()

    with_clients(test)
