"""What a dead kernel has said last is read, and nobody else is kept waiting for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernelfleet.controller.engines import channels
from kernelfleet.controller.engines.channels import KernelChannels


class Pump:
    """Has something to read for so many turns."""

    def __init__(self, turns: float) -> None:
        self.left = turns

    def take_turn(self) -> bool:
        self.left -= 1
        return self.left > 0


def linked(**pumps: Any) -> KernelChannels:
    made = KernelChannels.__new__(KernelChannels)
    made._pumps = pumps
    return made


def test_last_words_are_read_to_their_end_turn_by_turn() -> None:
    async def drain() -> None:
        shell, iopub = Pump(1), Pump(50)
        others_turns = 0

        async def work_of_others() -> None:
            nonlocal others_turns
            while True:
                others_turns += 1
                await asyncio.sleep(0)

        others = asyncio.create_task(work_of_others())
        await linked(shell=shell, iopub=iopub).drain()
        others.cancel()
        assert (shell.left, iopub.left) == (0, 0)
        assert others_turns >= 49

    asyncio.run(drain())


def test_those_of_one_who_publishes_without_end_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "DRAIN_SECONDS", 0.05)

    async def drain() -> None:
        endless = Pump(float("inf"))
        await asyncio.wait_for(linked(iopub=endless).drain(), 10)

    asyncio.run(drain())
