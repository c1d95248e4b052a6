"""Shared buffers: shared memory that nobody can change, and handles that nobody can forge."""

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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelfleet.wire.buffers import shared_memory
from kernelfleet.wire.buffers.frames import frame_bytes, from_frames, to_frames
from kernelfleet.wire.buffers.shared_memory import (
    SHARED_BYTES,
    LostSharedBuffer,
    Probe,
    SharedBuffer,
    SharedBufferWriter,
    available,
    probe_succeeds,
)
from kernelfleet.wire.objects.serialize import pack, total_bytes, unpack
from kernelfleet.wire.platforms import HERE

pytestmark = [
    pytest.mark.skipif(not available(), reason="no shared memory here"),
    pytest.mark.usefixtures("descriptors_come_back"),
]

DATA = bytes(range(256)) * 10


def handle(pid: object, fd: object, nbytes: object) -> bytes:
    return b"kernelfleet-buffer:" + json.dumps([pid, fd, nbytes]).encode()


def test_what_is_written_is_read_through_the_handle() -> None:
    buffer = SharedBuffer.write(DATA)
    other = SharedBuffer.open(buffer.handle)
    del buffer  # the receiver has a descriptor of its own
    assert bytes(other.map()) == DATA
    assert bytes(other.view()) == DATA
    assert other.nbytes == len(DATA)


def test_another_process_opens_it() -> None:
    buffer = SharedBuffer.write(DATA)
    code = (
        "import sys; from kernelfleet.wire.buffers.shared_memory import SharedBuffer\n"
        "print(sum(SharedBuffer.open(sys.argv[1].encode()).map()))"
    )
    command = [sys.executable, "-c", code, buffer.handle.decode()]
    assert int(subprocess.check_output(command)) == sum(DATA)


def test_a_buffer_is_sealed_for_everybody() -> None:
    buffer = SharedBuffer.write(DATA)
    fd = os.open(f"/proc/self/fd/{buffer._fd}", os.O_RDWR)
    try:
        for attempt in (
            lambda: os.pwrite(fd, b"x", 0),
            lambda: os.ftruncate(fd, 1),
            lambda: os.ftruncate(fd, 10**6),
            lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0),
            lambda: mmap.mmap(fd, buffer.nbytes),
        ):
            with pytest.raises(PermissionError):
                attempt()
    finally:
        os.close(fd)


def test_a_mapping_is_ours_to_write_to_and_nobody_elses() -> None:
    buffer = SharedBuffer.write(DATA)
    mine, yours = buffer.map(), buffer.map()
    mine[0] = 99
    assert yours[0] == 0
    assert buffer.view()[0] == 0
    with pytest.raises(TypeError):
        buffer.view()[0] = 1


@pytest.mark.parametrize(
    "forged",
    [
        b"kernelfleet-buffer:", b"kernelfleet-buffer:{}", b"kernelfleet-buffer:[1]",
        b'kernelfleet-buffer:["a","b","c"]', b"kernelfleet-buffer:[1,2,3,4]",
        b"kernelfleet-buffer:\xff", b"kernelfleet-buffer:" + b"[" * 180, handle(1e400, 1, 1),
        handle(os.getpid(), float("nan"), 1), handle(True, False, True),
        handle(2**40, 1, 1), handle(-1, -1, -1), handle(1, 0, 10),
        handle("self/../1", 0, 1), handle(None, None, None), handle(os.getpid(), 10**6, 1),
    ],
    ids=lambda forged: forged[19:50].decode(errors="replace").replace(str(os.getpid()), "ours"),
)  # fmt: skip
def test_a_forged_handle_is_refused(forged: bytes) -> None:
    with pytest.raises(LostSharedBuffer):
        SharedBuffer.open(forged)


def test_it_is_told_whether_the_process_that_had_the_buffer_has_ended() -> None:
    process = subprocess.Popen(["sleep", "60"])
    for expected in (False, True):
        with pytest.raises(LostSharedBuffer) as caught:
            SharedBuffer.open(handle(process.pid, 99, 10))
        assert caught.value.owner_has_ended is expected
        process.kill()
        if not expected:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    process.wait()
    with pytest.raises(LostSharedBuffer) as caught:
        SharedBuffer.open(handle(process.pid, 99, 10))
    assert caught.value.owner_has_ended


def test_a_file_is_no_buffer_and_neither_is_what_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("rb") as file, pytest.raises(LostSharedBuffer, match="names no buffer"):
        SharedBuffer.open(handle(os.getpid(), file.fileno(), len(DATA)))
    fd = os.memfd_create("kernelfleet", os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, DATA)
        with pytest.raises(LostSharedBuffer, match="sealed"):
            SharedBuffer.open(handle(os.getpid(), fd, len(DATA)))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK)
        with pytest.raises(LostSharedBuffer, match="sealed"):
            SharedBuffer.open(handle(os.getpid(), fd, len(DATA)))
    finally:
        os.close(fd)


def test_what_a_handle_names_is_looked_at_before_it_is_opened(
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
            with pytest.raises(LostSharedBuffer, match="names no buffer"):
                SharedBuffer.open(handle(os.getpid(), fd, size))
        assert opened == []
    finally:
        for fd in mine:
            os.close(fd)


def test_a_refused_handle_leaves_no_descriptor(tmp_path: Path) -> None:
    buffer = SharedBuffer.write(DATA)
    unsealed = os.memfd_create("kernelfleet", os.MFD_ALLOW_SEALING)
    os.write(unsealed, DATA)
    before = len(os.listdir("/proc/self/fd"))
    forged = [handle(os.getpid(), buffer._fd, 1), handle(os.getpid(), unsealed, len(DATA))]
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
handles = st.tuples(st.just(os.getpid()) | numbers, numbers, st.just(0) | numbers)


@given(handles.map(json.dumps).map(str.encode) | st.binary(max_size=150))
@settings(max_examples=300)
def test_whatever_a_handle_says_it_is_opened_or_lost(fields: bytes) -> None:
    with contextlib.suppress(LostSharedBuffer):
        SharedBuffer.open(b"kernelfleet-buffer:" + fields)


@given(st.dictionaries(st.sampled_from(["probe", "secret"]), json_values | st.text()))
def test_a_probe_of_any_json_fails_quietly(fields: dict[str, Any]) -> None:
    assert not probe_succeeds(fields)
    surrogate = {"probe": "kernelfleet-buffer:\ud800", "secret": "\udfff"}
    assert not probe_succeeds(surrogate)
    large = SharedBuffer.write(DATA * 1000)
    assert not probe_succeeds({"probe": large.handle.decode(), "secret": "x"})


@pytest.mark.parametrize("error", [-1, 1, 10**9])
def test_a_handle_that_is_wrong_about_the_size_is_refused(error: int) -> None:
    buffer = SharedBuffer.write(DATA)
    with pytest.raises(LostSharedBuffer, match="size"):
        SharedBuffer.open(handle(os.getpid(), buffer._fd, len(DATA) + error))


def test_somebody_elses_buffer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = SharedBuffer.write(DATA)
    monkeypatch.setattr(os, "getuid", lambda: 2**31)
    with pytest.raises(LostSharedBuffer, match="of this user"):
        SharedBuffer.open(buffer.handle)


def test_a_handle_leads_nowhere_when_its_buffer_is_gone() -> None:
    stale = SharedBuffer.write(DATA).handle
    with pytest.raises(LostSharedBuffer, match="cannot be opened"):
        SharedBuffer.open(stale)


def test_without_memory_the_bytes_stay_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no space")

    array = np.arange(SHARED_BYTES, dtype="u1")
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


def test_nothing_at_all_fits_into_a_buffer() -> None:
    buffer = SharedBuffer.write(b"")
    assert bytes(buffer.map()) == bytes(buffer.view()) == b""
    assert SharedBuffer.open(buffer.handle).nbytes == 0
    assert np.array_equal(unpack(pack(np.zeros((0, 3)), shared=True)), np.zeros((0, 3)))


def test_frames_are_handles_where_memory_is_shared_and_bytes_elsewhere() -> None:
    buffer = SharedBuffer.write(DATA)
    small = b"as it is"
    here = to_frames([buffer, small], shared=True)
    assert here == [buffer.handle, small]
    assert frame_bytes(buffer) == len(DATA)
    assert total_bytes([buffer, small]) == len(DATA) + len(small)
    opened, same = from_frames(here)
    assert isinstance(opened, SharedBuffer)
    assert bytes(opened.view()) == DATA
    assert same is small
    away = to_frames([buffer, small], shared=False)
    assert bytes(away[0]) == DATA
    assert from_frames([DATA]) == [DATA]


def test_only_large_buffers_are_shared_and_arrays_come_back_writable() -> None:
    large, small = np.arange(SHARED_BYTES // 8), np.arange(10)
    frames = pack({"large": large, "small": small}, shared=True)
    assert [isinstance(frame, SharedBuffer) for frame in frames] == [False, True]
    back = unpack(from_frames(to_frames(frames, shared=True)))
    assert np.array_equal(back["large"], large)
    back["large"][:] = 0
    assert large[1] == 1
    assert all(isinstance(f, SharedBuffer) for f in pack(b"x" * SHARED_BYTES, shared=True))


def test_the_memory_is_freed_with_the_last_array(monkeypatch: pytest.MonkeyPatch) -> None:
    def mapped() -> int:
        gc.collect()
        return Path("/proc/self/maps").read_text().count("memfd:kernelfleet")

    before = mapped()
    arrays = unpack(pack([np.ones(SHARED_BYTES // 8) for _ in range(3)], shared=True))
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
    assert not probe_succeeds({**fields, "probe": handle(os.getpid(), 0, 32).decode()})
    assert not probe_succeeds({})
    assert not probe_succeeds({"probe": 1, "secret": 2})
    assert probe.buffer is not None
    with tempfile.TemporaryFile() as file:
        wrong = handle(os.getpid(), file.fileno(), 32).decode()
        assert not probe_succeeds({**fields, "probe": wrong})


def test_a_probe_without_memory_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOMEM, "none")

    monkeypatch.setattr(os, "memfd_create", full)
    assert Probe().fields() == {}
    assert shared_memory.available()


# -- each check on its own: most forged handles fail several of them -----------------------------


@pytest.mark.parametrize(
    "fields", ["[1]", "[1, 2, 3, 4]", "[true, 0, 1]", "[1, -1, 1]", "[1, 2.0, 3]"]
)
def test_the_fields_of_a_handle_are_three_natural_numbers(fields: str) -> None:
    with pytest.raises(ValueError, match="a handle"):
        shared_memory._read_handle(b"kernelfleet-buffer:" + fields.encode())


def test_data_that_begins_like_a_handle_but_is_longer_stays_data() -> None:
    data = b"kernelfleet-buffer:" + bytes(200)
    assert from_frames([data]) == [data]


def test_a_buffer_of_several_pieces_is_written_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "_PIECE_BYTES", 1000)
    assert bytes(SharedBuffer.write(DATA).map()) == DATA


def test_the_users_subprocesses_inherit_no_buffer() -> None:
    writer = SharedBufferWriter(4)
    writer.write(memoryview(b"data"))
    made = SharedBuffer.write(DATA), writer.finish()
    opened = [SharedBuffer.open(each.handle) for each in made]
    assert not any(os.get_inheritable(each._fd) for each in (*made, *opened))


def test_what_only_pretends_to_be_a_buffer_is_refused_by_its_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setattr(os, "readlink", lambda _: "/memfd:kernelfleet (deleted)")
    try:
        with pytest.raises(LostSharedBuffer, match="of this user"):
            SharedBuffer.open(handle(os.getpid(), fifo, 0))
    finally:
        os.close(fifo)


def test_opening_never_waits_and_never_takes_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    really = os.open

    def watched(path: str, wanted: int) -> int:
        flags.append(wanted)
        return really(path, wanted)

    buffer = SharedBuffer.write(DATA)
    monkeypatch.setattr(os, "open", watched)
    SharedBuffer.open(buffer.handle)
    looking, reading = flags
    assert looking & os.O_PATH
    assert reading & os.O_NONBLOCK
    assert reading & os.O_NOCTTY


def test_a_probe_reads_no_more_than_a_secret_can_be() -> None:
    secret = "x" * 101
    buffer = SharedBuffer.write(secret.encode())
    assert not probe_succeeds({"probe": buffer.handle.decode(), "secret": secret})


def test_where_processes_cannot_share_memory_a_handle_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buffer = SharedBuffer.write(DATA)
    without = replace(HERE, shared_memory=False)
    monkeypatch.setattr(shared_memory, "HERE", without)
    with pytest.raises(LostSharedBuffer, match="cannot share memory on this system"):
        SharedBuffer.open(buffer.handle)
