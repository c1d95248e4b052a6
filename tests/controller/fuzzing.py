"""Messages that nobody should send: good ones with something changed, and noise.

Everything is drawn from a ``random.Random``, so that Hypothesis can draw (and shrink), and a long
run can do without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from kernelfleet.wire.messages import JsonDict

ATOMS: list[Any] = [
    None, True, False, 0, 1, 2, 3, 4, 7, -1, 2**31, 2**63, -(2**64), 10**30, 10**400, 0.0, -0.0,
    0.5, 1e-9, 1e308, float("inf"), float("-inf"), float("nan"), "", "a", "0", "id", "\ud800",
    "\udc80", "\0", "é", "\U0001f600", "x" * 1000, "1e400", [], {}, [[]], [None], [0], [0, 0], [1],
    [3, 4], ["x"], [True], [0.0], [-1], {"": {}}, {"code": "1"}, {"names": ["x"]},
]  # fmt: skip

RESULT_IDS = ["id", *(f"r{i}" for i in range(20))]

TEMPLATES: list[JsonDict] = [
    {
        "operation": "execute",
        "targets": [0],
        "content": {"code": "1"},
        "label": "l",
        "stream": True,
    },
    {"operation": "execute", "targets": [0, 1, 0], "content": {"code": "1", "allow_stdin": False}},
    {"operation": "execute", "targets": [3, 4], "content": {"code": "1", "store_history": True}},
    {"operation": "push", "targets": [0, 3], "payloads": [1]},
    {"operation": "push", "targets": [0, 1], "payloads": [1, 2], "assign": [1, 0]},
    {"operation": "pull", "targets": [0, 3], "content": {"names": ["x"]}},
    {"operation": "apply", "targets": [1], "payloads": [2], "decode": {"kind": "apply"}},
    {"operation": "keys", "targets": [0, 3]},
    {"operation": "keys", "targets": [0, 7]},
    {"operation": "keys", "targets": [2]},
    {"operation": "reset", "targets": [0, 1]},
    {"operation": "map", "targets": [0], "payloads": [1], "keep": False, "limit": 5.0},
    {"operation": "task", "targets": [1], "payloads": [1], "keep": False, "limit": None},
    {"operation": "ping"},
    {"operation": "engines"},
    {"operation": "queue_status", "targets": [0, 1]},
    {"operation": "clear_queue", "targets": [1]},
    {"operation": "get_result", "targets": [0], "number": 1},
    {"operation": "get_result", "targets": [0, 1], "number": None},
    {"operation": "cancel", "result_id": "id", "interrupt": True},
    {"operation": "interrupt", "targets": [1]},
    {"operation": "restart", "targets": [0, 2]},
    {"operation": "kill", "targets": [0]},
    {"operation": "scale", "engines": 3},
    {"operation": "attach", "of": "id"},
    {"operation": "progress", "result_id": "id", "brief": False},
    {"operation": "peek", "targets": [0, 1], "names": ["x"]},
    {"operation": "complete", "engine": 0, "code": "a", "cursor_pos": 1},
    {"operation": "inspect", "engine": 0, "code": "a", "cursor_pos": 1, "detail_level": 0},
    {"operation": "input_reply", "engine": 1, "result_id": "id", "value": "x"},
    {"operation": "set_properties", "targets": [0], "values": {"gpu": 1}},
    {"operation": "get_properties", "targets": [0], "keys": ["gpu"]},
    {"operation": "get_properties", "targets": [0], "keys": None},
    {"operation": "has_properties", "targets": [0], "keys": ["gpu"]},
    {"operation": "del_properties", "targets": [0], "keys": ["gpu"]},
    {"operation": "clear_properties", "targets": [0]},
    {"operation": "shutdown"},
]
TYPES = [
    "part",
    "more",
    "hello",
    "open",
    "ping",
    "bye",
    "resend",
    "ack",
    "void",
    "reply",
    "request",
    "event",
    "",
]
FIELDS = [
    *sorted({key for template in TEMPLATES for key in template}),
    "type", "n", "ack", "release", "result_id", "version", "probe", "secret", "session", "side",
    "client", "nonce", "buffers", "keys", "of", "at", "size", "frames", "received",
]  # fmt: skip


@dataclass
class Message:
    """What is sent: packed, and not signed yet."""

    packed: bytes
    buffers: list[bytes]


def any_json(random: Random, depth: int = 2) -> Any:
    """Anything that JSON can say, and some of what Python makes of it."""
    kind = random.randrange(8 if depth else 6)
    if kind < 6:
        return random.choice(ATOMS)
    size = random.randrange(4)
    if kind == 6:
        return [any_json(random, depth - 1) for _ in range(size)]
    return {random.choice(FIELDS): any_json(random, depth - 1) for _ in range(size)}


def any_header(random: Random, n: int, ack: int) -> JsonDict:
    """A good header, mostly with something changed."""
    header = {"type": "request", "n": n, "ack": ack, **random.choice(TEMPLATES)}
    if "content" in header:
        header["content"] = dict(header["content"])
    header["result_id"] = random.choice(RESULT_IDS)
    for _ in range(random.choice([0, 0, 1, 1, 1, 2, 3])):
        usual = sorted(header.keys() - {"type", "n", "ack"})
        field = random.choice(FIELDS if not usual or random.randrange(5) == 0 else usual)
        match random.randrange(6):
            case 0:
                header.pop(field, None)
            case 1 if isinstance(header.get("content"), dict):
                content = header["content"]
                content[random.choice([*sorted(content), "names", "code"])] = any_json(random)
            case 2 if not random.randrange(3):
                header["type"] = random.choice(TYPES)
            case 3 if isinstance(header.get(field), list):
                header[field] = [*header[field], random.choice(ATOMS)]
            case _:
                header[field] = any_json(random)
    return header


def changed(random: Random, header: JsonDict) -> JsonDict:
    """A header with perhaps a field or two otherwise."""
    header = dict(header)
    for _ in range(random.choice([0, 0, 1, 1, 2])):
        field = random.choice([*sorted(header), *FIELDS[:3]])
        if random.randrange(4):
            header[field] = any_json(random)
        else:
            header.pop(field, None)
    return header


def deep(random: Random) -> bytes:
    """Nesting around every limit there is."""
    depth = random.choice([3, 150, 198, 199, 200, 201, 250, 500, 900, 990, 1100, 5000])
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return opening * depth + b"0" + closing * depth


def any_message(random: Random, n: int, ack: int, handles: Sequence[bytes]) -> Message:
    """A message to be signed, or to be spoilt further."""
    header = any_header(random, n, ack)
    buffers = [any_buffer(random, handles) for _ in range(random.choice([0] * 9 + [1, 2, 3]))]
    if isinstance(header.get("payloads"), list) and random.randrange(4):
        wanted = sum(each for each in header["payloads"] if isinstance(each, int) and each < 9)
        buffers = [any_buffer(random, handles) for _ in range(wanted)]
    header.setdefault("buffers", len(buffers))
    packed = json.dumps(header, separators=(",", ":")).encode()
    match random.randrange(40):
        case 0:  # a field more, perhaps one that was there
            field = json.dumps(random.choice(FIELDS)).encode()
            value = random.choice([deep(random), b"9" * 5000, b"-1e400", b'"\\ud800"', b"01", b""])
            packed = packed[:-1] + b"," + field + b":" + value + b"}"
        case 1:
            at = _place(random, packed)
            packed = packed[:at] + bytes([random.randrange(256)]) + packed[at + 1 :]
        case 2:
            packed = packed[: _place(random, packed)]
        case 3:
            packed = random.choice([b"", b"[]", b"null", deep(random), b"\xff\xfe{}", b" " * 100])
    return Message(packed, buffers)


def _place(random: Random, packed: bytes) -> int:
    """Anywhere in it; what is drawn does not depend on how long it is."""
    return random.randrange(2**20) * len(packed) // 2**20


def any_buffer(random: Random, handles: Sequence[bytes]) -> bytes:
    """Data, or a handle to memory that is there, or to something else."""
    match random.randrange(4):
        case 0:
            return random.choice(handles)
        case 1:
            pid = random.choice([os.getpid(), 1, 0, -1, 2**70, None, "self", True, 1e400])
            number = random.choice([0, 1, 2, 5, 9, 12, -1, 10**9, "0", [], 0.0])
            size = random.choice([0, 1, 2560, -1, 2**70, None])
            return b"kernelfleet-buffer:" + json.dumps([pid, number, size]).encode()
        case 2:
            return random.choice([b"", b"kernelfleet-buffer:", b"kernelfleet-buffer:" + b"[" * 180])
        case _:
            return bytes(random.randrange(50))


def spoilt(random: Random, frames: list[bytes]) -> list[bytes]:
    """Signed frames after something happened to them, or frames that are nobody's."""
    match random.randrange(7):
        case 0:
            return [bytes(random.randrange(40)) for _ in range(random.randrange(5))]
        case 1:
            return frames[: random.randrange(len(frames))]
        case 2:
            return random.sample(frames, len(frames))
        case 3:
            return [*frames, b"more"]
        case 4:
            at = random.randrange(len(frames))
            return [*frames[:at], frames[at][: len(frames[at]) // 2], *frames[at + 1 :]]
        case 5:
            return [bytes(32), *frames[1:]]
        case _:
            return []
