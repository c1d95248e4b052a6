"""links.py: what a dead kernel has said last is read, and nobody else is kept waiting for it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import zmq

from kernelfleet.controller import links
from kernelfleet.controller.links import Endpoints, Links
from kernelfleet.wire.jupyter import KernelMessage, encode, make_session


def test_last_words_are_read_among_those_of_others_who_publish_without_end(
    tmp_path: Path,
) -> None:
    session = make_session(b"key", "kernel")
    _, frames = encode(session, "stream", {"text": "x" * 1000})
    heard: list[KernelMessage] = []

    async def drain(context: zmq.Context[Any]) -> None:
        loop = asyncio.get_running_loop()
        kernel = context.socket(zmq.XPUB)
        kernel.sndhwm = 0
        kernel.bind(f"ipc://{tmp_path}/iopub")
        channels = ("shell", "control", "stdin", "iopub")
        endpoints = Endpoints(**{name: f"ipc://{tmp_path}/{name}" for name in channels})  # type: ignore[arg-type]

        def on_message(channel: str, message: KernelMessage) -> None:
            assert channel == "iopub"
            heard.append(message)
            for _ in range(2):  # each that is read is followed by more
                kernel.send_multipart([b"topic", *frames])

        both = Links(loop, context, session, on_message, logging.getLogger("x"))
        both.connect(b"me", endpoints)
        try:
            await loop.run_in_executor(None, kernel.recv)  # it subscribes
            kernel.send_multipart([b"topic", *frames])
            turns = 0

            async def count_turns() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = loop.create_task(count_turns())
            await asyncio.wait_for(both.drain(), links.DRAIN_SECONDS + 20)
            counting.cancel()
            assert len(heard) > links.DRAIN_SECONDS
            assert turns > 20
        finally:
            both.close()
            kernel.close(linger=0)

    context: zmq.Context[Any] = zmq.Context()
    asyncio.run(drain(context))
    context.destroy(linger=0)
