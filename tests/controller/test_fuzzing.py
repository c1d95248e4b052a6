"""Whatever clients and engines send: the loop goes on, everybody is answered once, nobody hangs.

A case is one message. 2,000 in the default run, which Hypothesis draws, every time the same;
100,000 in the long one, from seeds (``KERNELFLEET_FUZZ_CASES`` makes it more).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelfleet.controller.engines.state import EngineState
from kernelfleet.wire.buffers.mapped_files import FileRange, MappedFile
from kernelfleet.wire.buffers.shared_memory import SharedBuffer, available
from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.handshake import connection_codecs
from kernelfleet.wire.jupyter import is_compact
from kernelfleet.wire.versions import PROTOCOL_VERSION
from tests.controller.fuzzing import any_json, any_message, changed, spoilt
from tests.controller.simulated import KEY, Fleet, SimulatedClient

CASES = int(os.environ.get("KERNELFLEET_FUZZ_CASES", "100000"))
CASES_PER_EXAMPLE = 20
#: Not answered, whether they have a number or not.
UNANSWERED = {"ping", "bye", "resend", "ack", "void"}
DEEP = b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"
MB = 1024 * 1024


class Fuzzed:
    """A fleet, a client that goes mad, one that does not, and something for handles to name."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._folder = folder
        self._run(self._open())
        self.cases = 0

    async def _open(self) -> None:
        self.fleet = Fleet()
        self.mad = SimulatedClient(self.fleet, "mad")
        self.sane = SimulatedClient(self.fleet, "sane")
        self._kept: list[Any] = []
        self.handles = [b"no handle"]
        if available():
            self._kept = [SharedBuffer.write(bytes(2560)), SharedBuffer.write(b"")]
            data = self._folder / "data"
            data.write_bytes(bytes(5000))
            file = MappedFile(str(data), follow=False)
            # The second has nothing in the file, as if that had been cut off.
            self._kept += [FileRange(file, 100, 2560), FileRange(file, 4000, 2560)]
            self.handles = [buffer.handle for buffer in self._kept]
        fifo = self._folder / "fifo"
        if not fifo.exists():
            os.mkfifo(fifo)
        self._fds = [
            os.open(fifo, os.O_RDONLY | os.O_NONBLOCK),
            os.open(self._folder, os.O_RDONLY),
            socket.socket().detach(),
            *os.pipe(),
        ]
        for fd in self._fds:
            info = os.fstat(fd)
            forged = json.dumps([os.getpid(), fd, info.st_size])
            self.handles.append(b"kernelfleet-buffer:" + forged.encode())
            forged = json.dumps([os.getpid(), fd, info.st_dev, info.st_ino, 0, 1])
            self.handles.append(b"kernelfleet-file:" + forged.encode())

    def close(self) -> None:
        self._run(self._close())
        self._loop.close()
        for fd in self._fds:
            os.close(fd)

    async def _close(self) -> None:
        self.fleet.close()
        for task in asyncio.all_tasks() - {
            asyncio.current_task()
        }:  # limits that are being waited for
            task.cancel()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(asyncio.wait_for(coroutine, 20))

    def clients_say(self, random: Random, cases: int) -> None:
        """Messages of the mad client, and what must be true afterwards."""
        self._run(self._clients_say(random, cases))

    async def _clients_say(self, random: Random, cases: int) -> None:
        due: set[int] = set()
        for _ in range(cases):
            self.cases += 1
            if random.randrange(10):
                due |= self._mad_message(random)
            else:
                self._stranger_says(random)
            if self.mad.session is None:  # it said goodbye
                self.mad.forget_line()
                self.mad.connect()
                due.clear()
            await asyncio.sleep(0)
            await self._sane_is_served()
        await self.fleet.settle(lambda: due <= self.mad.replies.keys())
        await self._all_is_well(due)

    def _mad_message(self, random: Random) -> set[int]:
        """Say something; the numbers that must be answered in the end."""
        mad, session = self.mad, self.mad.session
        before = session.sequence.received
        n = random.choice([before + 1] * 8 + [before, before + 2])
        message = any_message(random, n, mad.received, self.handles)
        frames = [mad.codec._sign(message.packed), message.packed, *message.buffers]
        if random.randrange(10) == 0:
            frames = spoilt(random, frames)
        try:
            header, _ = mad.codec.decode(frames)
        except BadMessage:
            header = {}
        self.fleet.say(mad.identity, frames)
        if not header or mad.session is not session:
            return set()
        of_the_line = header["type"] in ("part", "more")  # which has no numbers
        numbered = header.get("n") == before + 1 and not of_the_line
        assert session.sequence.received == before + numbered
        mad.n = session.sequence.received
        return {before + 1} if numbered and header["type"] not in UNANSWERED else set()

    def _stranger_says(self, random: Random) -> None:
        """Somebody with the fleet's key who does not know how a line is opened."""
        identity = f"stranger-{self.cases}".encode()
        heard: list[list[bytes]] = []
        self.fleet.telephone.clients[identity] = SimpleNamespace(hear=heard.append)  # type: ignore[assignment]
        key = bytes.fromhex(KEY)
        usual = {"type": "hello", "version": PROTOCOL_VERSION, "client": "he", "nonce": "o"}
        hello = changed(random, usual)
        self.fleet.say(identity, signed(Codec(key), hello))
        answer = Codec(key).decode(heard[0])[0] if heard else {"type": "nothing"}
        if answer["type"] == "challenge":
            client, nonce = str(hello["client"]), str(hello["nonce"])
            codec = connection_codecs(key, client, nonce, answer["challenge"]).to_controller
            handle = random.choice(self.handles).decode()
            usual = {"type": "open", "session": "s", "side": False, "probe": handle, "secret": "x"}
            ask = {"type": "request", "n": 1, "operation": "ping"}
            for header in (changed(random, usual), changed(random, ask), {"type": "bye"}):
                self.fleet.say(identity, signed(codec, header))
        else:
            assert answer["type"] in ("refused", "nothing")
        del self.fleet.telephone.clients[identity]

    async def _sane_is_served(self) -> None:
        n = self.sane.ask({"operation": "ping"})
        assert "value" in self.sane.headers[n]
        self.sane.headers.clear()

    async def _all_is_well(self, due: set[int]) -> None:
        n = self.sane.ask(
            {"operation": "execute", "targets": [0, 1, 3], "result_id": f"s{self.cases}",
             "content": {"code": "1"}, "keep": False}
        )  # fmt: skip
        await self.fleet.settle()
        assert [result["ok"] for result in self.sane.headers[n]["results"]] == [True] * 3
        assert self.fleet.complaints == []
        for number in due:
            assert self.mad.replies[number] == 1, f"request {number} of the mad client"
        assert set(self.mad.replies.values()) <= {1}
        controller = self.fleet.controller
        assert not controller.running
        assert not controller._waiting_for
        assert [len(engine.queue) for engine in self.fleet.registry.engines.values()] == [0] * 5
        if self.mad.n > 2000:
            self.mad.send({"type": "bye"})
            self.mad.forget_line()
            self.mad.connect()

    def engines_say(self, random: Random, cases: int) -> None:
        """Requests whose answers are changed on the way, and what must be true afterwards."""
        self._run(self._engines_say(random, cases))

    async def _engines_say(self, random: Random, cases: int) -> None:
        channels = self.fleet.registry.channels
        for _ in range(cases):
            self.cases += 1
            engine_id = random.choice([0, 3])
            broken = Broken(random, self.fleet.registry.session)
            channels[engine_id].tamper = broken
            verb = random.choice(["execute", "pull", "keys", "push", "apply"])
            content = {"execute": {"code": "1"}, "pull": {"names": ["x"]}}.get(verb, {})
            n = self.sane.ask(
                {"operation": verb, "targets": [engine_id], "result_id": f"e{self.cases}",
                 "content": content, "stream": True, "keep": False}
            )  # fmt: skip
            for _ in range(4):
                await asyncio.sleep(0)
            channels[engine_id].tamper = None
            engine = self.fleet.registry.engines[engine_id]
            if n not in self.sane.headers and engine.run is not None:
                assert broken.changed, "nothing was changed, and no answer came"
                # What was lost is not told from what takes long: it is restarted.
                engine.retire()
                engine.detach(EngineState.STARTING, "EngineDied", "it was restarted")
                assert engine.incarnation is None
                self.fleet.registry._make(engine_id, engine.kernel_name)
            result = self.sane.headers[n]["results"][0]
            assert result["ok"] in (True, False)
            if not result["ok"] and result["error"]["kind"] == "engine":
                told = result["error"]["evalue"]
                assert f"engine {engine_id}" in told or told == "it was restarted"
            await self._sane_is_served()
        await self.fleet.settle()
        await self._all_is_well(set())


class Broken:
    """What a broken kernel says instead."""

    def __init__(self, random: Random, session: Any) -> None:
        self._random, self._session = random, session
        self.changed = False

    def __call__(self, channel: str, frames: list[bytes]) -> list[tuple[str, list[bytes]]]:
        if self._random.randrange(3) == 0:
            return [(channel, frames)]
        self.changed = True
        return tampered(self._random, self._session, channel, frames)


def tampered(
    random: Random, session: Any, channel: str, frames: list[bytes]
) -> list[tuple[str, list[bytes]]]:
    """A kernel's message otherwise; ``frames`` are identity, delimiter, signature, four parts.

    A message in the compact form has one part: a line with its type and its id, and the content.
    """
    parts = parts_of(frames)
    match random.randrange(9):
        case 0:
            return []
        case 1:
            return [(channel, frames)] * 2
        case 2:
            return [(channel, spoilt(random, frames) or [frames[0]])]
        case 3:
            channel = random.choice(["shell", "iopub", "control", "stdin"])
        case 4:
            parts[random.randrange(4)] = random.choice(
                [
                    b"",
                    b"[]",
                    b"null",
                    b"\xff",
                    b"[" * 5000,
                    b"9" * 5000,
                    b"{}",
                    b"[" * 300 + b"]" * 300,
                ]
            )
        case 5:
            header = json.loads(parts[0])
            header[random.choice(["msg_type", "session", "msg_id"])] = random.choice(
                [
                    "",
                    "fleet_execute_reply",
                    "input_request",
                    "display_data",
                    "nonsense",
                    1,
                    None,
                    [],
                ]
            )
            parts[0] = json.dumps(header).encode()
        case 6:
            parent = json.loads(parts[1])
            parent["msg_id"] = random.choice(["", "another", None, 3, parent.get("msg_id")])
            parts[1] = json.dumps(parent).encode()
        case _:
            content = json.loads(parts[3])
            names = [
                *content, "n_iopub", "number", "payload", "exiting", "data", "metadata",
                "transient", "traceback", "execution_state", "user_expressions", "keys", "ename",
            ]  # fmt: skip
            for _ in range(random.randrange(1, 4)):
                content[random.choice(names)] = any_json(random)
            parts[3] = json.dumps(content).encode()
    return [(channel, signed_again(session, frames, parts))]


def parts_of(frames: list[bytes]) -> list[bytes]:
    """The four parts of a kernel's message; of one in the compact form, as if it had them."""
    if not is_compact(frames):
        return list(frames[3:7])
    head, _, content = frames[3].partition(b"\n")
    msg_type, msg_id = head.decode().split(" ")
    said = [{"msg_type": msg_type}, {"msg_id": msg_id}, {}]
    return [*(json.dumps(each).encode() for each in said), content]


def signed_again(session: Any, frames: list[bytes], parts: list[bytes]) -> list[bytes]:
    """The message with these parts, in the form that it had."""
    if not is_compact(frames):
        return [*frames[:2], session.sign(parts), *parts, *frames[7:]]
    head = b" ".join(map(word_of, parts[:2]))
    part = head + b"\n" + parts[3]
    return [*frames[:2], session.sign([frames[1], part]), part, *frames[4:]]


def word_of(part: bytes) -> bytes:
    """What the first field of a part says; the part itself if it has none."""
    try:
        fields = json.loads(part)
    except (ValueError, RecursionError):
        return part
    return str(next(iter(fields.values()), "")).encode() if isinstance(fields, dict) else part


def signed(codec: Codec, header: dict[str, Any]) -> list[bytes]:
    """Any header as frames."""
    packed = json.dumps({"buffers": 0, **header}).encode()
    return [codec._sign(packed), packed]


@pytest.fixture
def fuzzed(tmp_path: Path) -> Iterator[Fuzzed]:
    fuzzed = Fuzzed(tmp_path)
    yield fuzzed
    fuzzed.close()


def drawn(folder: Path, say: Callable[[Fuzzed, Random, int], None], cases: int) -> None:
    """Cases that Hypothesis draws, and shrinks when one fails; each example with a new fleet."""

    @given(st.randoms(use_true_random=False))
    @settings(
        max_examples=cases // CASES_PER_EXAMPLE, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def examples(random: Random) -> None:
        with contextlib.closing(Fuzzed(folder)) as fuzzed:
            say(fuzzed, random, CASES_PER_EXAMPLE)

    examples()


def seeded(fuzzed: Fuzzed, say: Callable[[Random, int], None], cases: int) -> None:
    """Many cases, from seeds that a failure names; memory stays where it is."""
    process, after_warm_up = psutil.Process(), 0
    for seed in range(cases // CASES_PER_EXAMPLE):
        try:
            say(Random(seed), CASES_PER_EXAMPLE)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        if seed == cases // CASES_PER_EXAMPLE // 4:
            gc.collect()
            after_warm_up = process.memory_info().rss
    gc.collect()
    assert fuzzed.cases == cases
    grown = process.memory_info().rss - after_warm_up
    assert grown < 64 * MB, f"grown by {grown / MB:.0f} MB"


def test_messages_of_clients_are_answered_or_refused_whatever_they_say(tmp_path: Path) -> None:
    drawn(tmp_path, Fuzzed.clients_say, 1500)


def test_answers_of_engines_end_their_requests_whatever_they_say(tmp_path: Path) -> None:
    drawn(tmp_path, Fuzzed.engines_say, 500)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_thousand_messages_of_clients(fuzzed: Fuzzed) -> None:
    seeded(fuzzed, fuzzed.clients_say, CASES)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_thousand_answers_of_engines(fuzzed: Fuzzed) -> None:
    seeded(fuzzed, fuzzed.engines_say, CASES)
