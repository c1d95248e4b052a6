"""blocks.py: shared memory that nobody can change, and tickets that nobody can forge."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import json
import mmap
import os
import pty
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelfleet.wire.objects import shared_memory
from kernelfleet.wire.objects.serialize import pack, total_bytes, unpack
from kernelfleet.wire.objects.shared_memory import (
    BLOCK_BYTES,
    LostSharedBuffer,
    Probe,
    SharedBuffer,
    available,
    frame_bytes,
    from_frames,
    probe_succeeds,
    to_frames,
)

pytestmark = pytest.mark.skipif(not available(), reason="no shared memory here")

DATA = bytes(range(256)) * 10


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _descriptors_come_back() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() <= before  # fleets that other tests share may have closed some


def ticket(pid: object, fd: object, nbytes: object) -> bytes:
    return b"kernelfleet-block:" + json.dumps([pid, fd, nbytes]).encode()


def test_what_is_written_is_read_through_the_ticket() -> None:
    block = SharedBuffer.write(DATA)
    other = SharedBuffer.open(block.ticket)
    del block  # the receiver has a descriptor of its own
    assert bytes(other.map()) == DATA
    assert bytes(other.view()) == DATA
    assert other.nbytes == len(DATA)


def test_another_process_opens_it() -> None:
    block = SharedBuffer.write(DATA)
    code = (
        "import sys; from kernelfleet.wire.objects.shared_memory import SharedBuffer\n"
        "print(sum(SharedBuffer.open(sys.argv[1].encode()).map()))"
    )
    command = [sys.executable, "-c", code, block.ticket.decode()]
    assert int(subprocess.check_output(command)) == sum(DATA)


def test_a_block_is_sealed_for_everybody() -> None:
    block = SharedBuffer.write(DATA)
    fd = os.open(f"/proc/self/fd/{block._fd}", os.O_RDWR)
    try:
        for attempt in (
            lambda: os.pwrite(fd, b"x", 0),
            lambda: os.ftruncate(fd, 1),
            lambda: os.ftruncate(fd, 10**6),
            lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0),
            lambda: mmap.mmap(fd, block.nbytes),
        ):
            with pytest.raises(PermissionError):
                attempt()
    finally:
        os.close(fd)


def test_a_mapping_is_ours_to_write_to_and_nobody_elses() -> None:
    block = SharedBuffer.write(DATA)
    mine, yours = block.map(), block.map()
    mine[0] = 99
    assert yours[0] == 0
    assert block.view()[0] == 0
    with pytest.raises(TypeError):
        block.view()[0] = 1


@pytest.mark.parametrize(
    "forged",
    [
        b"kernelfleet-block:", b"kernelfleet-block:{}", b"kernelfleet-block:[1]",
        b'kernelfleet-block:["a","b","c"]', b"kernelfleet-block:[1,2,3,4]",
        b"kernelfleet-block:\xff", b"kernelfleet-block:" + b"[" * 180, ticket(1e400, 1, 1),
        ticket(os.getpid(), float("nan"), 1), ticket(True, False, True),
        ticket(2**40, 1, 1), ticket(-1, -1, -1), ticket(1, 0, 10),
        ticket("self/../1", 0, 1), ticket(None, None, None), ticket(os.getpid(), 10**6, 1),
    ],
    ids=lambda forged: forged[18:50].decode(errors="replace").replace(str(os.getpid()), "ours"),
)  # fmt: skip
def test_a_forged_ticket_is_refused(forged: bytes) -> None:
    with pytest.raises(LostSharedBuffer):
        SharedBuffer.open(forged)


def test_a_file_is_no_block_and_neither_is_what_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("rb") as file, pytest.raises(LostSharedBuffer, match="names no block"):
        SharedBuffer.open(ticket(os.getpid(), file.fileno(), len(DATA)))
    fd = os.memfd_create("kernelfleet", os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, DATA)
        with pytest.raises(LostSharedBuffer, match="sealed"):
            SharedBuffer.open(ticket(os.getpid(), fd, len(DATA)))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK)
        with pytest.raises(LostSharedBuffer, match="sealed"):
            SharedBuffer.open(ticket(os.getpid(), fd, len(DATA)))
    finally:
        os.close(fd)


def test_what_a_ticket_names_is_looked_at_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fifo blocks in open, a terminal may become ours, a device may do anything."""
    opened: list[object] = []
    really = os.open

    def watched(path: object, flags: int, *args: Any, **kwargs: Any) -> int:
        opened.append(path)
        return really(path, flags, *args, **kwargs)  # type: ignore[arg-type]

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    master, slave = pty.openpty()
    reading, writing = os.pipe()
    mine = [master, slave, reading, writing, os.eventfd(0)]
    mine += [really(fifo, os.O_RDONLY | os.O_NONBLOCK), really(tmp_path, os.O_RDONLY)]
    mine += [really("/dev/null", os.O_RDONLY), socket.socket().detach()]
    monkeypatch.setattr(os, "open", watched)
    try:
        for fd in mine:
            size = os.fstat(fd).st_size
            with pytest.raises(LostSharedBuffer, match="names no block"):
                SharedBuffer.open(ticket(os.getpid(), fd, size))
        assert opened == []
    finally:
        for fd in mine:
            os.close(fd)


def test_a_refused_ticket_leaves_no_descriptor(tmp_path: Path) -> None:
    block = SharedBuffer.write(DATA)
    unsealed = os.memfd_create("kernelfleet", os.MFD_ALLOW_SEALING)
    os.write(unsealed, DATA)
    before = len(os.listdir("/proc/self/fd"))
    forged = [ticket(os.getpid(), block._fd, 1), ticket(os.getpid(), unsealed, len(DATA))]
    for each in forged * 3:
        with pytest.raises(LostSharedBuffer):
            SharedBuffer.open(each)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(unsealed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=5,
)
#: Small numbers name what this very process has open.
numbers = st.integers(0, 40) | st.integers() | json_values
tickets = st.tuples(st.just(os.getpid()) | numbers, numbers, st.just(0) | numbers)


@given(tickets.map(json.dumps).map(str.encode) | st.binary(max_size=150))
@settings(max_examples=300)
def test_whatever_a_ticket_says_it_is_opened_or_lost(fields: bytes) -> None:
    with contextlib.suppress(LostSharedBuffer):
        SharedBuffer.open(b"kernelfleet-block:" + fields)


@given(st.dictionaries(st.sampled_from(["probe", "secret"]), json_values | st.text()))
def test_a_probe_of_any_json_fails_quietly(fields: dict[str, Any]) -> None:
    assert not probe_succeeds(fields)
    surrogate = {"probe": "kernelfleet-block:\ud800", "secret": "\udfff"}
    assert not probe_succeeds(surrogate)
    large = SharedBuffer.write(DATA * 1000)
    assert not probe_succeeds({"probe": large.ticket.decode(), "secret": "x"})


@pytest.mark.parametrize("error", [-1, 1, 10**9])
def test_a_ticket_that_is_wrong_about_the_size_is_refused(error: int) -> None:
    block = SharedBuffer.write(DATA)
    with pytest.raises(LostSharedBuffer, match="size"):
        SharedBuffer.open(ticket(os.getpid(), block._fd, len(DATA) + error))


def test_somebody_elses_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    block = SharedBuffer.write(DATA)
    monkeypatch.setattr(os, "getuid", lambda: 2**31)
    with pytest.raises(LostSharedBuffer, match="of ours"):
        SharedBuffer.open(block.ticket)


def test_a_ticket_leads_nowhere_when_its_block_is_gone() -> None:
    stale = SharedBuffer.write(DATA).ticket
    with pytest.raises(LostSharedBuffer, match="cannot be opened"):
        SharedBuffer.open(stale)


def test_without_memory_the_bytes_stay_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no space")

    array = np.arange(BLOCK_BYTES, dtype="u1")
    monkeypatch.setattr(os, "pwrite", full)
    frames = pack(array, shared=True)
    assert not any(isinstance(frame, SharedBuffer) for frame in frames)
    assert np.array_equal(unpack(frames), array)
    monkeypatch.setattr(os, "memfd_create", full)
    assert np.array_equal(unpack(pack(array, shared=True)), array)


@pytest.mark.parametrize("word", ["0", "no", "false"])
def test_the_environment_says_no(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    good = Probe().fields()
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", word)
    assert not available()
    assert Probe().fields() == {}
    assert not probe_succeeds(good)
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "1")
    assert available()


def test_nothing_at_all_fits_into_a_block() -> None:
    block = SharedBuffer.write(b"")
    assert bytes(block.map()) == bytes(block.view()) == b""
    assert SharedBuffer.open(block.ticket).nbytes == 0
    assert np.array_equal(unpack(pack(np.zeros((0, 3)), shared=True)), np.zeros((0, 3)))


def test_frames_are_tickets_where_memory_is_shared_and_bytes_elsewhere() -> None:
    block = SharedBuffer.write(DATA)
    small = b"as it is"
    here = to_frames([block, small], shared=True)
    assert here == [block.ticket, small]
    assert frame_bytes(block) == len(DATA)
    assert total_bytes([block, small]) == len(DATA) + len(small)
    opened, same = from_frames(here)
    assert isinstance(opened, SharedBuffer)
    assert bytes(opened.view()) == DATA
    assert same is small
    away = to_frames([block, small], shared=False)
    assert bytes(away[0]) == DATA
    assert from_frames([DATA]) == [DATA]


def test_only_large_buffers_become_blocks_and_arrays_come_back_writable() -> None:
    large, small = np.arange(BLOCK_BYTES // 8), np.arange(10)
    frames = pack({"large": large, "small": small}, shared=True)
    assert [isinstance(frame, SharedBuffer) for frame in frames] == [False, True]
    back = unpack(from_frames(to_frames(frames, shared=True)))
    assert np.array_equal(back["large"], large)
    back["large"][:] = 0
    assert large[1] == 1
    assert all(isinstance(f, SharedBuffer) for f in pack(b"x" * BLOCK_BYTES, shared=True))


def test_the_memory_is_freed_with_the_last_array(monkeypatch: pytest.MonkeyPatch) -> None:
    def mapped() -> int:
        gc.collect()
        return Path("/proc/self/maps").read_text().count("memfd:kernelfleet")

    before = mapped()
    arrays = unpack(pack([np.ones(BLOCK_BYTES // 8) for _ in range(3)], shared=True))
    assert mapped() == before + 3  # one mapping each: `del` of one frees one
    del arrays[0]
    assert mapped() == before + 2
    del arrays
    assert mapped() == before


def test_a_probe_succeeds_only_with_its_secret() -> None:
    probe = Probe()
    fields = probe.fields()
    assert probe_succeeds(fields)
    assert not probe_succeeds({**fields, "secret": "0" * 32})
    assert not probe_succeeds({**fields, "probe": ticket(os.getpid(), 0, 32).decode()})
    assert not probe_succeeds({})
    assert not probe_succeeds({"probe": 1, "secret": 2})
    assert probe.block is not None
    with tempfile.TemporaryFile() as file:
        wrong = ticket(os.getpid(), file.fileno(), 32).decode()
        assert not probe_succeeds({**fields, "probe": wrong})


def test_a_probe_without_memory_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOMEM, "none")

    monkeypatch.setattr(os, "memfd_create", full)
    assert Probe().fields() == {}
    assert shared_memory.available()
