"""Parts of files as buffers: found by a descriptor, checked, mapped read-only."""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelfleet.wire.buffers import mapped_files
from kernelfleet.wire.buffers.mapped_files import FileRange, MappedFile, map_ranges
from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, SharedBuffer, available
from kernelfleet.wire.platforms import HERE
from tests.wire.buffers.conftest import descriptors

pytestmark = [
    pytest.mark.skipif(not available(), reason="no shared memory here"),
    pytest.mark.usefixtures("descriptors_come_back"),
]

DATA = bytes(range(256)) * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


def opened(path: Path) -> MappedFile:
    return MappedFile(str(path), follow=False)


def handle(*fields: object) -> bytes:
    return b"kernelfleet-file:" + json.dumps(fields).encode()


def test_what_a_file_has_is_mapped_through_the_handle(path: Path) -> None:
    file = opened(path)
    sent = FileRange(file, 5000, 100_000)
    found = FileRange.open(sent.handle)
    del sent, file  # the receiver has a descriptor of its own
    view = found.map()
    assert bytes(view) == DATA[5000:105_000] == bytes(found.view())
    assert view.readonly
    assert found.view().readonly


def test_another_process_maps_the_same_file_whatever_has_become_of_its_name(path: Path) -> None:
    file = opened(path)
    sent = FileRange(file, 10, 1000)
    path.rename(path.with_name("renamed"))
    path.write_bytes(bytes(len(DATA)))
    path.with_name("renamed").unlink()
    code = (
        "import sys; from kernelfleet.wire.buffers.mapped_files import FileRange\n"
        "print(sum(FileRange.open(sys.argv[1].encode()).map()))"
    )
    command = [sys.executable, "-c", code, sent.handle.decode()]
    assert int(subprocess.check_output(command)) == sum(DATA[10:1010])


def test_who_changes_the_file_changes_what_is_seen(path: Path) -> None:
    file = opened(path)
    view = FileRange(file, 0, 1000).map()
    with path.open("r+b") as writing:
        writing.write(b"changed")
    assert bytes(view[:7]) == b"changed"


def test_a_file_that_has_become_shorter_is_not_mapped(path: Path) -> None:
    file = opened(path)
    whole, beginning = FileRange(file, 0, len(DATA)), FileRange(file, 0, 1000)
    os.truncate(path, len(DATA) - 1)
    with pytest.raises(LostSharedBuffer, match=f"{path} has become shorter"):
        whole.map()
    with pytest.raises(OSError, match=f"{path} has become shorter"):
        whole.view()
    assert bytes(beginning.map()) == DATA[:1000]
    path.unlink()
    with pytest.raises(LostSharedBuffer, match="has become shorter"):
        whole.map()


def test_parts_of_one_file_are_one_mapping_with_one_descriptor(path: Path, tmp_path: Path) -> None:
    file = opened(path)
    (tmp_path / "other").write_bytes(DATA[::-1])
    other = opened(tmp_path / "other")
    places = [(file, 200_000, 300), (other, 7, 5), (file, 9_000, 4_000), (file, 9_500, 10)]
    sent = [FileRange(*place) for place in places]
    before = descriptors()
    files: dict[bytes, MappedFile] = {}
    found = [FileRange.open(each.handle, files) for each in sent]
    assert descriptors() == before + 2
    views = map_ranges(found)
    del found, files
    assert [bytes(view) for view in views] == [bytes(each.view()) for each in sent]
    assert descriptors() == before + 2  # those of the mappings
    assert len({id(view.obj) for view in views}) == 2
    del views
    assert descriptors() == before


@pytest.mark.parametrize(
    "forged",
    [
        b"kernelfleet-file:", b"kernelfleet-file:{}", b"kernelfleet-file:\xff",
        b"kernelfleet-file:" + b"[" * 180, handle(1), handle(1, 2, 3, 4, 5, 6, 7),
        handle(True, 0, 1, 1, 0, 1), handle(1, -1, 1, 1, 0, 1), handle(1, 1.0, 1, 1, 0, 1),
        handle("self/../1", 0, 1, 1, 0, 1), handle(2**40, 1, 1, 1, 0, 1),
        handle(os.getpid(), 10**6, 1, 1, 0, 1), handle(1, 1, 1, 1, 2**64, 1),
        handle(1, 1, 1, 1, 0, 0),
    ],
    ids=lambda forged: forged[17:50].decode(errors="replace").replace(str(os.getpid()), "ours"),
)  # fmt: skip
def test_a_forged_handle_is_refused(forged: bytes) -> None:
    with pytest.raises(LostSharedBuffer):
        FileRange.open(forged)


def test_a_descriptor_that_is_another_file_by_now_is_refused(tmp_path: Path, path: Path) -> None:
    file = opened(path)
    stale, number = FileRange(file, 0, 100).handle, file.fd
    del file
    (tmp_path / "other").write_bytes(DATA)
    fd = os.open(tmp_path / "other", os.O_RDONLY)
    try:
        assert fd == number
        with pytest.raises(LostSharedBuffer, match="another file"):
            FileRange.open(stale)
    finally:
        os.close(fd)
    with pytest.raises(LostSharedBuffer):
        FileRange.open(stale)


def test_what_is_no_file_is_refused_without_being_opened_for_reading(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reading, writing = os.pipe()
    try:
        for named in (str(tmp_path / "fifo"), "/dev/null", str(tmp_path)):
            with pytest.raises(ValueError, match="no file"):
                MappedFile(named, follow=False)
        (tmp_path / "link").symlink_to(__file__)
        with pytest.raises(ValueError, match="no file"):
            MappedFile(str(tmp_path / "link"), follow=False)
        info = os.fstat(reading)
        with pytest.raises(LostSharedBuffer, match="no file"):
            FileRange.open(handle(os.getpid(), reading, info.st_dev, info.st_ino, 0, 1))
    finally:
        os.close(reading)
        os.close(writing)


def test_it_is_told_whether_the_process_that_had_the_file_has_ended(path: Path) -> None:
    file = opened(path)
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(LostSharedBuffer) as caught:
        FileRange.open(handle(process.pid, 3, file.device, file.inode, 0, 1))
    assert caught.value.owner_has_ended


def test_the_users_subprocesses_inherit_no_file(path: Path) -> None:
    file = opened(path)
    assert not os.get_inheritable(file.fd)
    with file.opened() as fd:
        assert not os.get_inheritable(fd)


def test_a_part_of_a_file_is_a_shared_buffer_whose_mapping_ends_with_its_last_view(
    path: Path,
) -> None:
    file = opened(path)

    def maps() -> int:
        gc.collect()
        return Path("/proc/self/maps").read_text().count(str(path))

    found = FileRange(file, mmap.PAGESIZE + 1, 10)
    assert isinstance(found, SharedBuffer)
    view = found.map()[2:]
    assert maps() == 1
    del view
    assert maps() == 0


def test_where_processes_cannot_share_memory_a_handle_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(path)
    monkeypatch.setattr(mapped_files, "HERE", replace(HERE, shared_memory=False))
    with pytest.raises(LostSharedBuffer, match="cannot share memory on this system"):
        FileRange.open(FileRange(file, 0, 1).handle)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=5,
)
numbers = st.integers(0, 40) | st.integers() | json_values
handles = st.tuples(st.just(os.getpid()) | numbers, *[numbers] * 5)


@given(handles.map(json.dumps).map(str.encode) | st.binary(max_size=150))
@settings(max_examples=200)
def test_whatever_a_handle_says_it_is_opened_or_lost(fields: bytes) -> None:
    with contextlib.suppress(LostSharedBuffer):
        FileRange.open(b"kernelfleet-file:" + fields)


@given(st.integers(0, 2**62), st.integers(1, 2**62))
@settings(max_examples=50)
def test_whatever_part_of_a_file_is_named_it_is_mapped_or_lost(offset: int, nbytes: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"a few bytes")
        file.flush()
        wanted = FileRange(MappedFile(file.name, follow=False), offset, nbytes)
        try:
            assert bytes(wanted.map()) == b"a few bytes"[offset:][:nbytes]
        except LostSharedBuffer:
            assert offset + nbytes > len(b"a few bytes")
