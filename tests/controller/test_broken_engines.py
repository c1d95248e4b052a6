"""An engine that breaks its word: what it runs fails by its name, and the others work on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kernelfleet.controller.engines import encoding, in_flight
from kernelfleet.controller.engines import engine as engine_module
from kernelfleet.controller.requests import MAX_ABORTED
from kernelfleet.wire.jupyter import is_compact
from tests.controller.simulated import Fleet, SimulatedClient, Tamper, resaid
from tests.fleets import until

Frames = list[bytes]
EXECUTE = {"operation": "execute", "content": {"code": "1"}}


def with_fleet(test: Callable[[Fleet, SimulatedClient], Awaitable[None]]) -> None:
    async def body() -> None:
        fleet = Fleet()
        try:
            await test(fleet, SimulatedClient(fleet, "me"))
            assert fleet.complaints == []
        finally:
            fleet.close()

    asyncio.run(asyncio.wait_for(body(), 20))


def resigned(fleet: Fleet, frames: Frames, part: int, **changes: Any) -> Frames:
    """A message of a kernel with some fields of a part (0 the header, 3 the content) changed.

    Engines of our own say less: the type (0), the id (1) and the content (3).
    """
    if is_compact(frames):
        change = lambda said: {**said, **changes}  # noqa: E731
        which: Any = {"content" if part == 3 else "head": change}
        return resaid(fleet.registry.session, frames, **which)
    parts = frames[3:7]
    parts[part] = json.dumps({**json.loads(parts[part]), **changes}).encode()
    return [*frames[:2], fleet.registry.session.sign(parts), *parts]


def on_shell(change: Callable[[Frames], list[Frames]]) -> Tamper:
    """Change what is said on shell."""

    def tamper(channel: str, frames: Frames) -> list[tuple[str, Frames]]:
        return [(channel, each) for each in (change(frames) if channel == "shell" else [frames])]

    return tamper


@pytest.mark.parametrize(
    ("engine_id", "changed", "told"),
    [
        (0, lambda _, frames: [*frames[:2], b"0" * 64, *frames[3:]], "wrong signature"),
        (0, lambda _, frames: frames[:3], "no delimiter"),
        (
            0,
            lambda fleet, frames: resigned(fleet, frames, 0, msg_id="of two words"),
            "not a message",
        ),
        (0, lambda fleet, frames: resigned(fleet, frames, 3, status=7), "its 'status'"),
        (3, lambda _, frames: [*frames[:2], b"0" * 64, *frames[3:]], "wrong signature"),
        (3, lambda _, frames: frames[:4], "parts after the delimiter"),
        (3, lambda _, frames: frames[:1], "no delimiter"),
        (3, lambda fleet, frames: resigned(fleet, frames, 0, msg_type=None), "wrong type"),
    ],
)
def test_a_reply_that_cannot_be_read_fails_what_the_engine_runs_and_nobody_else(
    engine_id: int, changed: Any, told: str
) -> None:
    async def test(fleet: Fleet, client: SimulatedClient) -> None:
        fleet.registry.channels[engine_id].tamper = on_shell(
            lambda frames: [changed(fleet, frames)]
        )
        bad = client.ask({**EXECUTE, "targets": [engine_id], "result_id": "bad"})
        good = client.ask({**EXECUTE, "targets": [1], "result_id": "good"})
        await fleet.settle()
        (result,) = client.headers[bad]["results"]
        assert result["error"]["ename"] == "EngineError"
        assert f"engine {engine_id} sent a reply that cannot be used" in result["error"]["evalue"]
        assert told in result["error"]["evalue"]
        assert client.headers[good]["results"][0]["ok"]
        fleet.registry.channels[engine_id].tamper = None
        again = client.ask({**EXECUTE, "targets": [engine_id], "result_id": "again"})
        await fleet.settle()
        assert client.headers[again]["results"][0]["ok"]

    with_fleet(test)


def test_a_reply_that_names_another_request_fails_what_the_engine_runs() -> None:
    async def test(fleet: Fleet, client: SimulatedClient) -> None:
        channels = fleet.registry.channels[0]
        channels.tamper = on_shell(lambda frames: [resigned(fleet, frames, 1, msg_id="another")])
        n = client.ask({**EXECUTE, "targets": [0], "result_id": "r"})
        await fleet.settle()
        assert "it names another request" in client.headers[n]["results"][0]["error"]["evalue"]

    with_fleet(test)


def test_a_reply_that_comes_twice_is_taken_once() -> None:
    async def test(fleet: Fleet, client: SimulatedClient) -> None:
        fleet.registry.channels[0].tamper = on_shell(lambda frames: [frames, frames])
        numbers = [client.ask({**EXECUTE, "targets": [0], "result_id": f"r{i}"}) for i in range(3)]
        await fleet.settle()
        assert [client.headers[n]["results"][0]["ok"] for n in numbers] == [True] * 3

    with_fleet(test)


def test_an_engine_that_says_it_is_another_answers_for_itself_all_the_same() -> None:
    async def test(fleet: Fleet, client: SimulatedClient) -> None:
        fleet.registry.channels[3].tamper = on_shell(
            lambda frames: [resigned(fleet, frames, 0, session="session-of-1")]
        )
        n = client.ask({**EXECUTE, "targets": [3], "result_id": "r"})
        await fleet.settle()
        assert client.headers[n]["results"][0]["ok"]

    with_fleet(test)


def test_an_engine_that_drops_a_request_again_and_again_is_not_asked_for_ever() -> None:
    async def test(fleet: Fleet, client: SimulatedClient) -> None:
        asked = 0

        def drop(frames: Frames) -> list[Frames]:
            nonlocal asked
            asked += 1
            return [resigned(fleet, frames, 3, status="aborted", n_iopub=0)]

        fleet.registry.channels[0].tamper = on_shell(drop)
        n = client.ask({**EXECUTE, "targets": [0], "result_id": "r"})
        await fleet.settle()
        assert not client.headers[n]["results"][0]["ok"]
        assert asked == MAX_ABORTED + 1

    with_fleet(test)


def test_output_that_was_announced_and_never_comes_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "IOPUB_LAG_SECONDS", 0.01)

    async def test(fleet: Fleet, client: SimulatedClient) -> None:
        fleet.registry.channels[0].tamper = on_shell(
            lambda frames: [resigned(fleet, frames, 3, n_iopub=10**9)]
        )
        n = client.ask({**EXECUTE, "targets": [0], "result_id": "r"})
        await until(lambda: n in client.headers)
        assert client.headers[n]["results"][0]["ok"]

    with_fleet(test)


def test_a_request_that_cannot_be_packed_fails_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack = in_flight.encode_native

    def refuse(session: Any, request: Any, **options: Any) -> Any:
        if request.content["code"] == "bad":
            raise OSError(12, "no memory to map it")
        return pack(session, request, **options)

    monkeypatch.setattr(encoding, "encode_native", refuse)

    async def test(fleet: Fleet, client: SimulatedClient) -> None:
        codes = ["1", "bad", "2"]
        numbers = [
            client.ask(
                {
                    "operation": "execute",
                    "content": {"code": code},
                    "targets": [0],
                    "result_id": code,
                }
            )
            for code in codes
        ]
        await fleet.settle()
        results = [client.headers[n]["results"][0] for n in numbers]
        assert results[0]["ok"]
        assert "could not be sent to engine 0" in results[1]["error"]["evalue"]
        assert results[2]["error"]["ename"] == "QueueCleared"  # as after any error
        again = client.ask({**EXECUTE, "targets": [0], "result_id": "again"})
        await fleet.settle()
        assert client.headers[again]["results"][0]["ok"]

    with_fleet(test)
